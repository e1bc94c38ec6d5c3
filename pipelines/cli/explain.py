"""`mambo check` and `mambo measure`: one number, one text, explained. Both read lines from standard input too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mambo_io.errors import InputError, MamboError
from mambo_io.masking import mask_text
from mambo_io.window import KAMPALA

if TYPE_CHECKING:  # loading it takes longer than to read a number
    from mambo_io.ledger import Ledger


def check(*numbers: Annotated[str, Parameter(allow_leading_hyphen=True)], json: bool = False) -> int:
    """Explain telephone numbers, one or many.

    What is read, on which network, whether the ledger's list of opt-outs holds it, or why it is turned away. The exit
    code is 0, whatever the numbers are. For example:

        mambo check 0772123456 "+256 (0)701 234 567"
        mambo check --json < numbers.txt

    Parameters
    ----------
    numbers
        Numbers as people type them; none: one a line from standard input.
    json
        One JSON object a line.
    """
    from pipelines.number_rules import judge_number

    ledger = _ledger()
    for raw in numbers or _lines("numbers"):
        verdict = judge_number(raw)
        opt_out = ledger.opt_out(int(verdict.e164[1:])) if ledger is not None and verdict.e164 is not None else None
        since = None if opt_out is None else opt_out.since.astimezone(KAMPALA)
        source = None if opt_out is None else mask_text(opt_out.source)
        if json:
            opted_out = {"opted_out_since": since and since.isoformat(timespec="seconds"), "opt_out_source": source}
            print_json_line({"number": raw, **asdict(verdict), **opted_out})
        elif verdict.reason is None:
            told = "" if since is None else f"; opted out since {since:%Y-%m-%d} ({source})"
            network = verdict.network_guess or "network unknown"
            print(f"{raw}: good, {verdict.e164}, {network} (by its prefix){told}")
        else:
            note = f" ({verdict.note})" if verdict.note else ""
            print(f"{raw}: {verdict.reason}: {verdict.reason.meaning}{note}")
    return 0


def measure_text(
    *text: Annotated[str, Parameter(allow_leading_hyphen=True)], ugx_per_segment: int = 50, json: bool = False
) -> int:
    """Explain the size and price of a text.

    Encoding, units, segments, and which characters cost what. For example:

        mambo measure "Clinic day is Friday. Bring your card."

    Parameters
    ----------
    text
        The text, its words joined by spaces; none: one text a line from standard input.
    ugx_per_segment
        The price of one segment.
    json
        One JSON object a line.
    """
    from pipelines.segments import explain

    if ugx_per_segment < 1:
        raise InputError("must be at least 1", key="--ugx-per-segment", value=ugx_per_segment)
    for line in [" ".join(text)] if text else _lines("texts"):
        found = explain(line, price_per_segment_ugx=ugx_per_segment)
        if json:
            print_json_line({"text": line, **asdict(found)})
            continue
        unit = "septets" if found.encoding == "GSM-7" else "UTF-16 code units"
        print(
            f"{found.encoding}, {found.units} {unit}, {found.segments} segment{'' if found.segments == 1 else 's'}, "
            f"UGX {found.cost_ugx:,} a recipient; {found.room} more fit into the last segment"
        )
        for character, times in found.double.items():
            print(f"  {character!r} counts double, {times} time{'' if times == 1 else 's'}")
        for forcing in found.forcing:
            places = ", ".join(map(str, forcing.positions[:5]))
            instead = "no plain form" if forcing.replacement is None else f"plain form {forcing.replacement!r}"
            saving = f"; without it UGX {forcing.saved_ugx:,} less" if forcing.saved_ugx else ""
            print(f"  {forcing.character!r} ({forcing.name}) at {places} forces UCS-2; {instead}{saving}")
        if found.saved_ugx:
            print(f"  without all of them UGX {found.saved_ugx:,} less a recipient")
    return 0


def print_json_line(value: dict[str, object]) -> None:
    import json

    print(json.dumps(value, ensure_ascii=False))


def _ledger() -> Ledger | None:
    """The ledger with the list of opt-outs; None where there is none, or where it cannot be asked, which is told."""
    from mambo_io.settings import load_settings
    from pipelines.opening import open_ledger

    try:
        return open_ledger(load_settings())
    except MamboError as error:
        print(f"mambo: the list of opt-outs was not asked: {error.message}", file=sys.stderr)
        return None


def _lines(what: str) -> Iterator[str]:
    if sys.stdin.isatty():
        raise InputError(f"no {what} given", fix=f"Name them, or pass {what} on standard input, one a line.")
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise InputError("is not UTF-8 text", file="standard input", row=number, fix="Pass it as UTF-8.") from None
