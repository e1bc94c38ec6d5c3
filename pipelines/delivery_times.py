"""Times of delivery reports: text in any plain form to moments. What has no time zone is Kampala's time.

The day stands before the month, as people in Uganda write it; no cell is ever read the American way. A receipt's own
form (`2603021200`, SMPP v3.4, appendix B) and those of spreadsheets are read; for others there is a format.
"""

from __future__ import annotations

import polars as pl

from mambo_io.window import KAMPALA

# A format and what it leaves open, in seconds: `12:05` may be any second of that minute.
_SECOND, _MINUTE, _DAY = 1, 60, 24 * 3600
_CLOCKS = {
    " %H:%M:%S%.f": _SECOND,
    " %H:%M": _MINUTE,
    " %I:%M:%S %p": _SECOND,
    " %I:%M %p": _MINUTE,
    " %H:%M:%S%.f%z": _SECOND,
    " %H:%M%z": _MINUTE,
    "": _DAY,
}
_FORMATS = {
    day + clock: open_s for day in ("%Y-%m-%d", "%d-%m-%Y", "%d-%B-%Y") for clock, open_s in _CLOCKS.items()
} | {"%Y%m%d%H%M%S": _SECOND, "%y%m%d%H%M%S": _SECOND, "%Y%m%d%H%M": _MINUTE, "%y%m%d%H%M": _MINUTE}

_NO_TIME = ["", "-", "n/a", "na", "null", "none", "nil", "0", "0000-00-00", "0000-00-00 00:00:00"]
_OLDEST = pl.datetime(2000, 1, 1)  # `%y%m…` and `%Y…` fit each other's digits, but for the year


def read_times(texts: pl.Series, time_format: str | None = None) -> pl.DataFrame:
    """Of each text the first and the last moment it may mean (`at_us`, `until_us`: Int64, microseconds UTC).

    Both are null for an empty cell and for one that says that there is none (`-`, `N/A` …), and for a text that is no
    time, for which Boolean `is_read` is false. `time_format` (as of strftime) takes the place of the known forms.
    """
    text = pl.col("text")
    if time_format is None:
        tidy = (
            text.str.strip_chars()
            .str.replace_all(r"[\s,]+", " ")
            .str.replace(r"^(\d{1,4})[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/. ](\d{1,4})\b", "${1}-${2}-${3}")
            .str.replace(r"^(\d{4}-\d\d-\d\d)T", "${1} ")
            .str.replace(r"(:\d\d(?:\.\d+)?) ?Z$", "${1}+0000")
            .str.replace(r"(:\d\d(?:\.\d+)?) ([+-]\d\d:?\d\d)$", "${1}${2}")
        )
        formats = _FORMATS
    else:
        tidy, formats = text.str.strip_chars(), {time_format: _left_open(time_format)}
    frame = texts.cast(pl.String).to_frame("text").select(text=tidy).with_row_index("index")
    is_empty = text.is_null() | text.str.to_lowercase().is_in(_NO_TIME)
    left = frame.filter(~is_empty)
    read = [pl.DataFrame(schema={"index": pl.UInt32, "at_us": pl.Int64, "until_us": pl.Int64})]
    for form, open_s in formats.items():
        if left.is_empty():
            break
        moments = left.select("index", "text", at_us=_moment(text, form))
        left = moments.filter(pl.col("at_us").is_null()).select("index", "text")
        found = moments.filter(pl.col("at_us").is_not_null()).select("index", "at_us")
        read.append(found.with_columns(until_us=pl.col("at_us") + open_s * 1_000_000 - 1))
    unread = left.select("index", is_read=pl.lit(False))
    return (
        frame.select("index")
        .join(pl.concat(read), on="index", how="left", maintain_order="left")
        .join(unread, on="index", how="left", maintain_order="left")
        .select("at_us", "until_us", pl.col("is_read").fill_null(True))
    )


def _moment(text: pl.Expr, form: str) -> pl.Expr:
    if "%z" in form:
        moment = text.str.strptime(pl.Datetime("us", "UTC"), form, strict=False)
    else:
        moment = text.str.strptime(pl.Datetime("us"), form, strict=False)
        moment = pl.when(moment >= _OLDEST).then(moment).dt.replace_time_zone(KAMPALA.key)
    return moment.dt.epoch("us")


def _left_open(time_format: str) -> int:
    if any(part in time_format for part in ("%S", "%T", "%X", "%s", "%c")):
        return _SECOND
    return _MINUTE if any(part in time_format for part in ("%M", "%R")) else _DAY
