"""Secrets and numbers that stand nowhere else, and the search for them in everything that a run leaves behind."""

from __future__ import annotations

import html
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

# Each with signs that JSON, HTML and URLs write differently.
API_KEY = 'canary/key"<7f31&\\'
PASSWORD = 'canary/password"<c902&\\'
STORE_PASSWORD = 'canary/store"<44d8&\\'
_PREFIX = "77290"  # of every canary number, behind +256, 256 or 0
# All nine digits of one: five alone stand by chance in some time or identifier of an engine's database.
_NUMBER = re.compile(rb"772900[0-9]{3}")


@dataclass(frozen=True)
class Found:
    """A canary, as it was written, and where."""

    canary: str
    where: str


def people(count: int, *, block: int = 0) -> str:
    """A list of `count` people with canary numbers, as CSV."""
    assert block < 10, "the search looks for these"
    return "phone\n" + "".join(f"0{_PREFIX}{block:02}{index:02}\n" for index in range(count))


def store(postgres_url: str) -> str:
    """The URL of the same database for a user of its own, whose password is a canary."""
    role = f"jane_{os.getpid()}_{time.monotonic_ns()}"
    create = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
    with connect(postgres_url) as connection:
        connection.execute(create.format(sql.Identifier(role), sql.Literal(STORE_PASSWORD)))
    return f"postgresql://{role}:{quote(STORE_PASSWORD, safe='')}@{postgres_url.rpartition('@')[2]}"


def connect(postgres_url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True)


def search(things: Iterator[tuple[str, bytes]], *, numbers: bool = True) -> list[Found]:
    """Every canary in `things`, which are names and contents; where numbers may stand, secrets alone."""
    wanted = {form for secret in (API_KEY, PASSWORD, STORE_PASSWORD) for form in _forms(secret)}
    found = []
    for where, content in things:
        found += [Found(form, where) for form in wanted if form.encode() in content]
        found += [Found(number.decode(), where) for number in _NUMBER.findall(content) if numbers]
    return found


def files_in(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path), path.read_bytes()


def rows_in(postgres_url: str) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, as text."""
    with connect(postgres_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))):
                # Text in a row is quoted, and what is quoted doubled.
                yield table, row.replace('""', '"').replace("\\\\", "\\").encode()


def _forms(secret: str) -> set[str]:
    in_json = json.dumps(secret)[1:-1]
    return {secret, in_json, in_json.replace("/", "\\/"), quote(secret), quote(secret, safe=""), html.escape(secret)}
