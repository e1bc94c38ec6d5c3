"""The texts of a list of people, written when they are asked for: a list of millions has no room for all at once.

A campaign without merge fields has one text, which is measured once, whoever it goes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from pipelines.chunking import text_key
from pipelines.frames import REASONS
from pipelines.messages import each_distinct, measure_messages, render_messages
from pipelines.schemas import ENCODINGS
from pipelines.templates import Template


@dataclass(frozen=True)
class Texts:
    """`source` has `row` and the columns that `template` names, in the order of the people."""

    source: pl.LazyFrame
    template: Template
    smart_encoding: bool

    def measured(self) -> pl.DataFrame:
        """What each person would be sent, in the order of `source`; one row for all where all get the same.

        text (the same number for the same text, within this process), encoding (`ENCODINGS`), units, segments (UInt32),
        reason (`REASONS`: why there is no text).
        """
        return (
            measure_messages(self._rendered())
            .select(
                (pl.lit(0, pl.UInt8) if self.is_one else pl.col("message").hash(seed=0)).alias("text"),
                pl.col("encoding").cast(ENCODINGS),
                pl.col("units", "segments").cast(pl.UInt32),
                pl.col("reject_reason").cast(REASONS).alias("reason"),
            )
            .collect(engine="streaming")
        )

    @property
    def is_one(self) -> bool:
        return not self.template.fields

    def keys(self, people: int) -> pl.Series:
        """The `text_key` (Int64) of what each of so many `people`, all of `source`, would be sent, in their order."""
        return self._keys.new_from_index(0, people) if self.is_one else self._keys

    @cached_property
    def _keys(self) -> pl.Series:
        key = each_distinct(pl.col("message"), text_key, pl.Int64())
        return self._rendered().select(key).collect(engine="streaming").to_series()

    def of(self, rows: pl.Series) -> pl.DataFrame:
        """row, message (String) of these rows, in the order of `source`."""
        if self.is_one:
            return pl.DataFrame({"row": rows}).with_columns(message=pl.lit(self.at(0), pl.String))
        return (
            self._rendered()
            .filter(pl.col("row").is_in(rows.implode()))
            .select("row", "message")
            .collect(engine="streaming")
        )

    def at(self, place: int) -> str:
        """The text at this place of `source`."""
        rendered = self._rendered()
        message: str = (rendered if self.is_one else rendered.slice(place, 1)).collect()["message"].item()
        return message

    def over(self, piece: pl.DataFrame) -> pl.DataFrame:
        """`piece`, rows of `source`, with the column message (String)."""
        fields = piece.select("row", *self.template.fields)
        return render_messages(fields, self.template, smart_encoding=self.smart_encoding)

    def _rendered(self) -> pl.LazyFrame:
        source = pl.LazyFrame({"row": [0]}) if self.is_one else self.source.select("row", *self.template.fields)
        return render_messages(source, self.template, smart_encoding=self.smart_encoding)
