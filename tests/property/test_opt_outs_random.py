"""The list of opt-outs against a dictionary: whatever is imported in whatever order, and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mambo_io.opt_outs import entries, record, remove
from mambo_io.store import Store
from support.ledgers import NOON, msisdn, number

ROWS = st.integers(1, 6)
IMPORTS = st.dictionaries(ROWS, st.integers(1, 9), min_size=1)  # a day for each number


def test_the_earliest_day_stands_in_whatever_order_it_came(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    Store(str(empty), create=True).close()

    @settings(max_examples=25)
    @given(st.lists(IMPORTS | ROWS, max_size=6))
    def story(steps: list[dict[int, int] | int]) -> None:
        expected: dict[str, tuple[int, str]] = {}
        with Store(str(shutil.copy(empty, tmp_path / "ledger.db"))) as store, store.writer() as connection:
            for place, step in enumerate(steps):
                if isinstance(step, int):
                    if expected.pop(number(step), None) is not None:
                        remove(connection, msisdn(step), note="asked", who="Grace", now=NOON)
                    continue
                source = f"file {place}"
                frame = pl.DataFrame([(msisdn(row), day) for row, day in step.items()], orient="row")
                frame.columns = ["msisdn", "since_us"]
                counts = record(connection, frame, subject=source, source=source, who="Grace", now=NOON)
                known = {row: expected.get(number(row)) for row in step}
                added = [row for row, entry in known.items() if entry is None]
                earlier = [row for row, entry in known.items() if entry is not None and step[row] < entry[0]]
                expected |= {number(row): (step[row], source) for row in (*added, *earlier)}
                assert (counts.added, counts.earlier) == (len(added), len(earlier))
                assert counts.added + counts.earlier + counts.known == len(step)
            with store.reader() as reader, reader.begin():
                found = pl.concat(entries(reader)).select("e164", pl.col("since").dt.epoch("us"), "source")
        assert {e164: (since, source) for e164, since, source in found.iter_rows()} == expected

    story()
