"""A list of millions of invented people, written by a program of its own: `python national_list.py FILE PEOPLE`."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def write_people(path: Path, people: int) -> None:
    """A list as it comes: half `07…`, a fifth `256…`, some with spaces, some damaged; phone, name, district."""
    chance = pl.col("row").hash(seed=1) % 100
    national = pl.format(
        "{}{}",
        (pl.col("row").hash(seed=2) % 6).replace_strict(dict(enumerate(("77", "78", "76", "70", "75", "74")))),
        (pl.col("row").hash(seed=3) % 10_000_000).cast(pl.String).str.zfill(7),
    )
    phone = (
        pl.when(chance < 50)
        .then(pl.format("0{}", national))
        .when(chance < 70)
        .then(pl.format("256{}", national))
        .when(chance < 85)
        .then(pl.format("+256{}", national))
        .when(chance < 94)
        .then(pl.format("0{} {} {}", *(national.str.slice(start, 3) for start in (0, 3, 6))))
        .when(chance < 96)
        .then(national)
        .when(chance < 97)
        .then(pl.lit(None, pl.String))
        .when(chance < 98)
        .then(national.str.slice(0, 8))
        .otherwise(pl.format("O{}", national))
    )
    names = dict(enumerate(("Jane", "Amos", "Grace", "Okello", "Nakato", "Mukasa", "Achieng", "Kato")))
    districts = dict(enumerate(("Kampala", "Wakiso", "Gulu", "Mbarara", "Jinja", "Lira", "Arua")))
    pl.LazyFrame({"row": pl.int_range(people, eager=True)}).select(
        phone=phone,
        name=(pl.col("row").hash(seed=4) % len(names)).replace_strict(names),
        district=(pl.col("row").hash(seed=5) % len(districts)).replace_strict(districts),
    ).sink_csv(path)


if __name__ == "__main__":
    write_people(Path(sys.argv[1]), int(sys.argv[2]))
