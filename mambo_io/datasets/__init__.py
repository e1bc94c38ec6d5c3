"""Tables of people in, tables of results out: CSV, Parquet and XLSX.

Reading keeps every row and every character: all cells are text, a row keeps the number that a spreadsheet program
shows beside it, and what could not be read as it should be is told in `Dataset.notes`.

::

    reading.py     open_dataset, read_dataset, Dataset    ── what all formats share
    ├── files.py       which file this is, and whether it can be read at all
    ├── limits.py      what no list is: a bomb, a line of gigabytes, a million columns
    ├── header.py      column names: trimmed, distinct, none of ours
    ├── delimited.py   CSV and TSV: encoding, separator, quotes
    ├── workbook.py    XLSX
    └── parquet.py     Parquet, and parquet_footer.py: its size before it is read
    export.py      write_dataset, write_tables
    ├── sheets.py      tables as sheets of a workbook
    └── replacing.py   absent, the old one, or complete
"""

from mambo_io.datasets.export import write_dataset, write_tables
from mambo_io.datasets.files import refuse_address
from mambo_io.datasets.reading import Dataset, Opened, open_dataset, read_dataset

__all__ = ["Dataset", "Opened", "open_dataset", "read_dataset", "refuse_address", "write_dataset", "write_tables"]
