"""The command `mambo`. Each command is imported only when it is run, so that help and small answers come at once."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from mambo_io.errors import MamboError
from mambo_io.masking import mask_text
from pipelines import __version__

app = App(
    name="mambo",
    help="Bulk SMS in Uganda: who will get what and for how much, who got it, what it cost, what happened to the rest.",
    help_epilogue=(
        "Start with `mambo demo`, which needs no key and sends nothing to anybody. Then `mambo new`, `mambo estimate`, "
        "`mambo send`.\n\n"
        "Exit codes: 0 nothing left to do; 1 a defect of ours; 2 wrong input or settings, nothing changed; "
        "3 stopped with work or unknown calls left, the same command goes on; 4 declined."
    ),
    version=__version__,
    help_format="plaintext",
)

_COMMANDS = {
    "demo": ("pipelines.cli.servers:demo", "Send the example campaign to a sandbox on this machine."),
    "new": ("pipelines.cli.campaigns:new", "Write a campaign file for a spreadsheet."),
    "check": ("pipelines.cli.explain:check", "Explain telephone numbers, one or many."),
    "measure": ("pipelines.cli.explain:measure_text", "Explain the size and price of a text."),
    "estimate": ("pipelines.cli.campaigns:estimate", "Show what sending a campaign would do; nothing is sent."),
    "send": ("pipelines.cli.campaigns:send", "Send a campaign, or go on where it stopped."),
    "status": ("pipelines.cli.records:status", "Show how campaigns stand."),
    "results": ("pipelines.cli.records:results", "Write the results table of a campaign to a file."),
    "balance": ("pipelines.cli.records:balance", "Ask the API for the account's balance, once."),
    "sandbox": ("pipelines.cli.servers:sandbox", "Run a Mambo API of one's own on this machine."),
    "up": ("pipelines.cli.servers:up", "Run a Prefect server with its pages; `send` uses it while it runs."),
    "store": ("pipelines.cli.records:store", "Look at the ledger's store, or back it up."),
}
for _name, (_path, _help) in _COMMANDS.items():
    app.command(_path, name=_name, help=_help)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that cannot show a character shows a question mark
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """The exit code of `mambo` with these arguments; everything that went wrong is told on standard error."""
    try:
        code = app(list(arguments), exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return 2
    except MamboError as error:
        print(f"mambo: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("mambo: stopped.", file=sys.stderr)
        return 3
    except BrokenPipeError:
        sys.stdout = None  # whoever read us has gone; nothing more can be said there
        return 0
    except Exception:  # noqa: BLE001 - the last line of defence: a defect of ours, told without numbers
        print(mask_text(traceback.format_exc()), file=sys.stderr, end="")
        print(
            "mambo: this is a defect of mambo-pipelines, not of yours. Nothing was lost; please report it.",
            file=sys.stderr,
        )
        return 1
    return code if isinstance(code, int) else 0
