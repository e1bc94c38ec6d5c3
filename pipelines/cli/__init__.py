"""The command `mambo`. Each command is imported only when it is run, so that help and small answers come at once."""

from __future__ import annotations

import difflib
import gc
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter, UnknownCommandError, UnusedCliTokensError

from mambo_io.errors import MamboError
from mambo_io.masking import mask_text
from pipelines import __version__

# What stands in the list of commands: the first line of each command's own help.
_COMMANDS = {
    "demo": ("pipelines.cli.servers:demo", "Send the example campaign to a sandbox on this machine."),
    "new": ("pipelines.cli.campaigns:new", "Write a campaign file for a spreadsheet."),
    "check": ("pipelines.cli.explain:check", "Explain telephone numbers, one or many."),
    "measure": ("pipelines.cli.explain:measure_text", "Explain the size and price of a text."),
    "estimate": ("pipelines.cli.campaigns:estimate", "Show what sending a campaign would do; nothing is sent."),
    "send": ("pipelines.cli.campaigns:send", "Send a campaign, or go on where it stopped."),
    "status": ("pipelines.cli.records:status", "Show how campaigns stand."),
    "approve": ("pipelines.cli.control:approve", "Say yes to what a campaign would send and cost."),
    "pause": ("pipelines.cli.control:pause", "Pause a campaign from any terminal or machine."),
    "resume": ("pipelines.cli.control:resume", "Let a campaign go on that somebody has paused."),
    "cancel": ("pipelines.cli.control:cancel", "Send nothing more of a campaign, for good."),
    "events": ("pipelines.cli.events:events", "Show who did what to a campaign, and when."),
    "results": ("pipelines.cli.records:results", "Write the results table of a campaign to a file."),
    "opt-outs": ("pipelines.cli.opt_outs:opt_outs", "Who wants no messages: the list that every campaign asks."),
    "deliveries": (
        "pipelines.cli.deliveries:deliveries",
        "Take in what a provider's or network's export says of delivery.",
    ),
    "report": (
        "pipelines.cli.report:report",
        "Write what became of people and money to a file.",
    ),
    "settle": ("pipelines.cli.settling:settle", "Find out from the account's balance which unknown calls were sent."),
    "resolve": (
        "pipelines.cli.settling:resolve",
        "Record what a person found out about an unknown call, or about one unverified recipient.",
    ),
    "retry": ("pipelines.cli.decisions:retry", "Put the calls that the API refused back into the plan."),
    "balance": ("pipelines.cli.records:balance", "Ask the API for the account's balance, once."),
    "account": (
        "pipelines.cli.account:account",
        "Enter what was paid into the account; show what became of the money.",
    ),
    "reconcile": ("pipelines.cli.reconcile:reconcile", "Settle, add up, report and judge what was sent yesterday."),
    "person": ("pipelines.cli.personal:person", "Show all that is held about one number, or erase it."),
    "erase": (
        "pipelines.cli.personal:erase",
        "Erase numbers, names and texts of finished campaigns; money and counts stay.",
    ),
    "sandbox": ("pipelines.cli.servers:sandbox", "Run a Mambo API of one's own on this machine."),
    "up": ("pipelines.cli.servers:up", "Run a Prefect server with its pages; `send` uses it while it runs."),
    "serve": ("pipelines.cli.serve:serve", "Send each campaign of a folder at its time, until Ctrl-C."),
    "schedule": (
        "pipelines.cli.serve:schedule",
        "Show when the campaigns of a folder are sent next, and what is wrong with their files.",
    ),
    "store": ("pipelines.cli.store:store", "Look at the ledger's store, back it up, move it, archive."),
}

_HELP = "Bulk SMS in Uganda: who will get what and for how much, who got it, what it cost, what happened to the rest."
_START = (
    "Start with `mambo demo`, which needs no key and sends nothing to anybody. Then `mambo new`, `mambo estimate`, "
    "`mambo send`; `mambo COMMAND --help` explains each.\n\n"
)
_EXIT_CODES = (
    "Exit codes: 0 nothing left to do; 1 a defect of ours; 2 wrong input or settings, nothing changed; "
    "3 stopped with work or unknown calls left, the same command goes on, or money that differs; 4 declined."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that cannot show a character shows a question mark
    code = run(sys.argv[1:] if arguments is None else list(arguments))
    gc.freeze()  # or Python would look through all that was loaded once more, which takes longer than a small answer
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """The exit code of `mambo` with these arguments; everything that went wrong is told on standard error."""
    command = arguments[0] if arguments and arguments[0] in _COMMANDS else None
    try:
        app = _app(command)
        code = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()  # here a closed pipe can still be told from a defect
    except CycloptsError as error:
        _complain(f"{_usage_problem(error)} `{' '.join(filter(None, ['mambo', command]))} --help` explains it.")
        return 2
    except MamboError as error:
        _complain(error.message)
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped by you; the same command starts it again.")
        return 3
    except (BrokenPipeError, SystemExit):
        # Whoever read us, `head` perhaps, has enough (rich says that by SystemExit). What is left in the buffer goes
        # nowhere, without a word; and what was to be sent was perhaps not sent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except Exception as error:  # noqa: BLE001 - the last line of defence: a defect of ours, told without its words
        from mambo_io.log import log_file, record_defect

        print(mask_text(record_defect(error)), file=sys.stderr)
        _complain(
            "this is a defect of mambo-pipelines, not of yours. `mambo status` shows what was sent; please report it, "
            f"with {log_file()}, which holds no numbers, texts or secrets."
        )
        return 1
    return code if isinstance(code, int) else 0


def _app(command: str | None) -> App:
    """The application; `command`, which is about to run, is described by its own docstring."""
    app = App(
        name="mambo",
        help=_HELP,
        help_epilogue=_EXIT_CODES if command else _START + _EXIT_CODES,
        version=__version__,
        help_format="markdown",
        default_parameter=Parameter(negative=(), show_default=lambda value: value or None),
    )
    for place, (name, (path, summary)) in enumerate(_COMMANDS.items()):
        app.command(path, name=name, help=None if name == command else summary, sort_key=place)
    return app


def _usage_problem(error: CycloptsError) -> str:
    """Wrong options and commands, in one line without numbers."""
    match error:
        case UnknownCommandError(unused_tokens=[given, *_], app=App() as app):
            known = [name for name in app if not name.startswith("-")]
            near = difflib.get_close_matches(given, known)
            told = f"Did you mean {' or '.join(near)}?" if near else f"The commands are {', '.join(known)}."
            problem = f"there is no command {given}. {told}"
        case UnusedCliTokensError(unused_tokens=[*unused]):
            problem = f"{' '.join(unused)} is more than is asked for."
        case _:
            problem = str(error)
    return mask_text(" ".join(problem.split()))


def _complain(problem: str) -> None:
    print(f"mambo: {problem}", file=sys.stderr)
