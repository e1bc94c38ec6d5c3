"""How a sandbox is set up. The same names are options of `python -m mambo_io.sandbox` and arguments of `running`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from mambo_io.errors import InputError
from mambo_io.sandbox.sms import CATEGORIES


@dataclass(frozen=True, kw_only=True)
class SandboxOptions:
    """Settings of one sandbox. The defaults follow the examples of the API page."""

    folder: Path
    """Where the record of calls and deliveries is kept. A sandbox that starts in the same folder goes on with it."""

    port: int = 0
    """Port on 127.0.0.1; 0 takes a free one."""

    api_key: str = field(default="sandbox-key", repr=False)
    """What the Authorization header has to hold."""

    username: str = "jane@example.com"
    """Phone number or e-mail address that the balance endpoint knows."""

    password: str = field(default="sandbox-password", repr=False)
    """Password for the balance endpoint."""

    balance_ugx: int = 1_000_000
    """Opening balance of a new account; an existing folder keeps its balance."""

    price_ugx: int = 50
    """Price of one segment to one recipient."""

    category_price_ugx: dict[str, int] = field(default_factory=dict)
    """Price of a segment by message category (`--category-price-ugx.info=70`); goes before the general price."""

    network_price_ugx: dict[str, int] = field(default_factory=dict)
    """Price of a segment by network (`--network-price-ugx.Airtel=60`); goes before the price by category."""

    unsupported_prefix: tuple[str, ...] = ()
    """Beginnings of numbers that cannot be reached, such as +25671."""

    unsupported_charged: bool = False
    """Charge unsupported contacts as if they had been reached."""

    unsupported_counted: bool = False
    """Count unsupported contacts in recipients_count and sms_sent."""

    max_recipients: int = 1_000
    """Most recipients a call may carry; more is answered with HTTP 413."""

    max_failed_logins: int = 5
    """Wrong passwords in a row that suspend the account."""

    latency_ms: int = 0
    """Wait between doing what a call asks and answering it."""

    stop_on_stdin_close: bool = False
    """Stop when standard input closes, that is, when the parent process is gone."""

    def __post_init__(self) -> None:
        for key in ("balance_ugx", "price_ugx", "latency_ms"):
            if (number := getattr(self, key)) < 0:
                raise InputError("is negative", key=key, value=number)
        for key in ("max_recipients", "max_failed_logins"):
            if (number := getattr(self, key)) < 1:
                raise InputError("is less than 1", key=key, value=number)
        for prefix in self.unsupported_prefix:
            if not prefix.startswith("+256"):
                raise InputError("does not begin with +256", key="unsupported_prefix", value=prefix)
        for category in self.category_price_ugx:
            if category not in CATEGORIES:
                allowed = f"Use {', '.join(CATEGORIES)}."
                raise InputError("is no message category", key="category_price_ugx", value=category, fix=allowed)

    def make_folder(self) -> None:
        """A new one is its owner's alone. Raises InputError where that is not possible."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot be used as a folder ({error.strerror})", key="folder", value=self.folder
            ) from None

    def arguments(self) -> Iterator[str]:
        """These settings as arguments of `python -m mambo_io.sandbox`."""
        for option in fields(self):
            flag = "--" + option.name.replace("_", "-")
            match getattr(self, option.name):
                case bool(on):
                    yield flag if on else f"--no-{flag[2:]}"
                case dict(prices):
                    yield from (f"{flag}.{name}={price}" for name, price in prices.items())
                case tuple(values):
                    yield from (f"{flag}={value}" for value in values)
                case value:
                    yield f"{flag}={value}"
