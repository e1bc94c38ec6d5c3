"""`MAMBO_*` variables of the environment, or of the `.env` file in the current folder: key, host, account, store.

The environment wins over `.env`. No other folder's `.env` is read. A variable that is set and empty is refused: to fall
back to the default would take a limit away, or send from another ledger or to another host than was meant.
"""

from __future__ import annotations

import os
import re
import shlex
from ipaddress import IPv4Network, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from mambo_io.errors import SettingsError

API_HOST = "https://api-mongolia.mambosms.com"  # the API page's

# Strict on purpose: what two URL parsers could read in two ways (`https://good\@evil`, `user@host`) does not match.
_WEB_ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_API_KEY = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def check_base_url(text: str) -> str:
    """The API's address as `scheme://host[:port]`; a trailing slash or `/v1` is dropped.

    Raises ValueError, whose text does not repeat the address (a pasted one may hold a password).
    """
    address = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if not _WEB_ADDRESS.fullmatch(address):
        raise ValueError("is not a plain web address: no path, user, password, query or blank belongs in it")
    try:
        port_in_range = urlsplit(address).port != 0
    except ValueError:  # above 65535
        port_in_range = False
    if not port_in_range:
        raise ValueError("has a port that does not exist")
    if address.startswith("http://") and not _is_loopback(host_of(address)):
        raise ValueError("is http, which would show the key to the network; only this machine itself may be http")
    return address


def check_api_key(text: str) -> str:
    """The API key as it goes into the `Authorization` header: printable ASCII, no blank at its ends.

    A key that HTTP cannot carry must be found here, because the exceptions of an HTTP library quote it.
    """
    if not text:
        raise SettingsError(
            "is not set", key="MAMBO_API_KEY", fix="Generate a key under API Settings after logging in, and set it."
        )
    if not _API_KEY.fullmatch(text):
        raise SettingsError(
            "holds a character that no key has, or begins or ends with a blank or a line break",
            key="MAMBO_API_KEY",
            fix="Copy it again from API Settings: letters, digits and punctuation in one line.",
        )
    return text


def split_command(text: str) -> list[str]:
    """A command line as a program and its arguments, by the rules of a POSIX shell; it is run without one.

    A program is found by PATH or named by its whole path: the current folder may be somebody else's. Raises ValueError,
    whose text does not repeat the line (it may hold a token).
    """
    try:
        command = shlex.split(text)
    except ValueError:
        raise ValueError("has a quote without its partner, or ends with a backslash") from None
    if not command or not command[0]:
        raise ValueError("names no program")
    program = Path(command[0])
    if not program.is_absolute() and command[0] != program.name:
        raise ValueError("names a program in the current folder, or by ~; write its whole path")
    return command


def _check_command(text: SecretStr) -> SecretStr:
    split_command(text.get_secret_value())
    return text


def host_of(address: str) -> str:
    """The host of a checked address, without port and brackets."""
    return urlsplit(address).hostname or ""


def data_folder() -> Path:
    """Where this user's data lies: the default ledger, and the address of a running engine."""
    return user_data_path("mambo-pipelines", appauthor=False)


def default_store() -> str:
    """The ledger file that is used when MAMBO_STORE is not set."""
    return str(data_folder() / "ledger.db")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address in IPv4Network("127.0.0.0/8") or address == IPv6Address("::1")


def _default_account(given: dict[str, Any]) -> str:
    return "sandbox" if _is_loopback(host_of(given["base_url"])) else "main"


class _DotEnv(DotEnvSettingsSource):
    """`.env`, with two rules: a file that chooses the host gets no secret from elsewhere, and none chooses a command.

    A `.env` comes with a folder, and folders come from other people: one line in it must not send the key of
    the environment to a stranger, nor run a stranger's program.
    """

    def __call__(self) -> dict[str, Any]:
        # A line that is only a name has no value, and would pass for a variable that is not there.
        found = super().__call__() | {
            field: "" for field in MamboSettings.model_fields if self.env_vars.get(_variable(field).lower(), "") is None
        }
        from_elsewhere = self.current_state
        if "on_problem" in found:
            raise SettingsError(
                "is a command, and may not come from this file",
                file=".env",
                key=_variable("on_problem"),
                fix="Take the line out, and set the variable in the environment of whoever sends.",
            )
        if found.get("base_url") and "base_url" not in from_elsewhere:
            for name in ("api_key", "password"):
                if name in from_elsewhere:
                    raise SettingsError(
                        f"comes from elsewhere, while {_variable('base_url')} comes from this file",
                        file=".env",
                        key=_variable(name),
                        fix="A file that sets the host must supply the secrets for it too: set both in the same place.",
                    )
        return found


class MamboSettings(BaseSettings):
    """What the environment says. Frozen; secrets are masked in repr.

    `account` names whose money it is, on every campaign and call of the ledger. Its default is `main`, but
    `sandbox` while the host is loopback: play money must never be mixed up with real money.

    `store` is the ledger's database: a file, or a SQLAlchemy URL (which may hold a password, so it is secret).
    """

    model_config = SettingsConfigDict(
        env_prefix="MAMBO_",
        env_file=".env",
        env_file_encoding="utf-8-sig",  # a byte order mark from Windows, which not every python-dotenv takes
        extra="ignore",  # `.env` belongs to the user's other programs too
        frozen=True,
        hide_input_in_errors=True,
    )

    # The descriptions are what an error says is allowed.
    base_url: Annotated[str, AfterValidator(check_base_url)] = Field(API_HOST, description=f"an address as {API_HOST}")
    api_key: SecretStr | None = Field(None, description="the key from API Settings")
    username: str | None = Field(None, repr=False, description="the account's phone number or e-mail address")
    password: SecretStr | None = Field(None, description="the account's password")
    store: SecretStr = Field(
        default_factory=lambda: SecretStr(default_store()),
        description="a file for SQLite, or a database URL",
    )
    account: str = Field(
        default_factory=_default_account,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="a name of letters, digits, dots and dashes",
    )
    account_exclusive: bool = Field(False, description="true or false")
    max_cost_per_day_ugx: int | None = Field(None, ge=0, description="a whole number of shillings, written 600000")

    on_problem: Annotated[SecretStr, AfterValidator(_check_command)] | None = Field(
        None, description="a command line, such as /usr/local/bin/tell-somebody --of mambo"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _check_not_empty(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty; set it, or take the variable away")
        return value

    @property
    def host(self) -> str:
        """The API's host without port, as screens and the question before a first send show it."""
        return host_of(self.base_url)

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine (127.0.0.0/8, ::1, localhost): the sandbox."""
        return _is_loopback(self.host)

    def require_api_key(self) -> SecretStr:
        """The API key. Raises SettingsError when it is missing or cannot be a key, and says how to set it."""
        check_api_key(self.api_key.get_secret_value() if self.api_key else "")
        assert self.api_key is not None  # checked above: an empty key raises
        return self.api_key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _DotEnv(settings_cls)


def load_settings(**overrides: Any) -> MamboSettings:
    """The settings; `overrides` are fields by name and win over the environment (None means "not given").

    Raises SettingsError: one line that names the variable and what is allowed, never the value.
    """
    unknown = overrides.keys() - MamboSettings.model_fields.keys()
    if unknown:
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    try:
        return MamboSettings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problem = _told(error)
    except (OSError, UnicodeError):
        problem = SettingsError("cannot be read as UTF-8 text", file=".env", fix="Save it anew as UTF-8, or remove it.")
    raise problem  # outside the handler: the caught exception holds values and must not become its context


def command_on_problem(settings: MamboSettings | None) -> list[str] | None:
    """What MAMBO_ON_PROBLEM says to run. Without settings (they may be the problem) the environment is asked."""
    if settings is None:
        try:
            return split_command(os.environ.get(_variable("on_problem"), ""))
        except ValueError:
            return None
    return split_command(settings.on_problem.get_secret_value()) if settings.on_problem is not None else None


def _told(error: ValidationError) -> SettingsError:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    told_by_us = first["type"] == "value_error"
    return SettingsError(
        str(first["ctx"]["error"]) if told_by_us else "has a value that cannot be used",
        key=_variable(name),
        fix=f"Allowed is {MamboSettings.model_fields[name].description}.",
    )


def _variable(field: str) -> str:
    return f"MAMBO_{field.upper()}"
