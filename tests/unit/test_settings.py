"""Settings: where they come from, what is refused, and that no secret shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mambo_io.errors import SettingsError
from mambo_io.settings import MamboSettings, check_api_key, command_on_problem, load_settings

CANARY = "canary-key-9f3b"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder; the suite has cleared the person's own variables."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chain(error: BaseException) -> str:
    """All that a log or an engine could write about an error: text and repr, of its causes and contexts too."""
    behind = [cause for cause in (error.__cause__, error.__context__) if cause is not None]
    return "\n".join([repr(error), str(error), repr(vars(error)), *map(chain, behind)])


def test_the_defaults() -> None:
    settings = load_settings()

    assert settings.base_url == "https://api-mongolia.mambosms.com"
    assert (settings.host, settings.is_loopback) == ("api-mongolia.mambosms.com", False)
    assert (settings.account, settings.account_exclusive, settings.max_cost_per_day_ugx) == ("main", False, None)
    assert Path(settings.store.get_secret_value()).name == "ledger.db"
    assert Path(settings.store.get_secret_value()).parent.name == "mambo-pipelines"


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("MAMBO_ACCOUNT=file\nMAMBO_ACCOUNT_EXCLUSIVE=true\nMAMBO_STORE=file.db\nOTHER=1\n")
    monkeypatch.setenv("MAMBO_ACCOUNT", "environment")

    settings = load_settings(store="argument.db", max_cost_per_day_ugx=None)

    assert (settings.account, settings.account_exclusive) == ("environment", True)
    assert settings.store.get_secret_value() == "argument.db"
    assert load_settings().store.get_secret_value() == "file.db"


def test_only_the_current_folders_file_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("MAMBO_ACCOUNT=above\n")
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder / "inner")

    assert load_settings().account == "main"


def test_a_file_with_a_byte_order_mark_and_windows_lines(folder: Path) -> None:
    (folder / ".env").write_bytes(b"\xef\xbb\xbfMAMBO_ACCOUNT=clinic\r\nMAMBO_USERNAME=jane@example.com\r\n")

    settings = load_settings()

    assert (settings.account, settings.username) == ("clinic", "jane@example.com")


@pytest.mark.parametrize(
    ("written", "base_url", "host", "is_loopback"),
    [
        ("https://api.example.org", "https://api.example.org", "api.example.org", False),
        ("https://api.example.org/", "https://api.example.org", "api.example.org", False),
        ("https://api.example.org/v1", "https://api.example.org", "api.example.org", False),
        (" https://api.example.org:8443/v1/ ", "https://api.example.org:8443", "api.example.org", False),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1", True),
        ("http://127.9.9.9", "http://127.9.9.9", "127.9.9.9", True),
        ("http://[::1]:8080/v1", "http://[::1]:8080", "::1", True),
        ("http://localhost:8080", "http://localhost:8080", "localhost", True),
        ("https://localhost", "https://localhost", "localhost", True),
        ("https://localhost.example.org", "https://localhost.example.org", "localhost.example.org", False),
    ],
)
def test_an_address_that_is_fine(written: str, base_url: str, host: str, is_loopback: bool) -> None:
    settings = load_settings(base_url=written)
    assert (settings.base_url, settings.host, settings.is_loopback) == (base_url, host, is_loopback)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://api.example.org", "is http"),
        ("http://localhost.example.org", "is http"),
        ("http://127.0.0.1.example.org", "is http"),
        ("http://0.0.0.0:8080", "is http"),
        ("http://10.0.0.5", "is http"),
        ("http://[::2]", "is http"),
        ("api.example.org", "not a plain web address"),
        ("ftp://api.example.org", "not a plain web address"),
        ("https://", "not a plain web address"),
        (f"https://jane:{CANARY}@api.example.org", "not a plain web address"),
        (f"https://api.example.org?key={CANARY}", "not a plain web address"),
        ("https://api.example.org/v1/send-sms", "not a plain web address"),
        ("https://api.example.org\\@other.example.org", "not a plain web address"),
        ("https://api example.org", "not a plain web address"),
        ("https://api.example.org\nX: y", "not a plain web address"),
        ("https://äpi.example.org", "not a plain web address"),
        ("https://api.example.org:99999", "port"),
        ("https://api.example.org:0", "port"),
    ],
)
def test_an_address_that_is_refused(address: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBO_BASE_URL", address)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert refused.value.message.startswith("MAMBO_BASE_URL: ")
    assert told in refused.value.message
    assert "\n" not in refused.value.message
    assert CANARY not in chain(refused.value)


@pytest.mark.parametrize(
    ("host", "account", "expected"),
    [
        ("http://127.0.0.1:8080", None, "sandbox"),
        ("http://127.0.0.1:8080", "clinic", "clinic"),
        ("https://api.example.org", None, "main"),
        (None, None, "main"),
    ],
)
def test_play_money_is_another_account(host: str | None, account: str | None, expected: str) -> None:
    assert load_settings(base_url=host, account=account).account == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAMBO_MAX_COST_PER_DAY_UGX", "600,000"),
        ("MAMBO_MAX_COST_PER_DAY_UGX", "-1"),
        ("MAMBO_MAX_COST_PER_DAY_UGX", "5e3.5"),
        ("MAMBO_ACCOUNT_EXCLUSIVE", "perhaps"),
        ("MAMBO_ACCOUNT", "clinic/day"),
        ("MAMBO_ACCOUNT", "x" * 65),
    ],
)
def test_a_wrong_value_is_told_by_name_and_not_repeated(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=rf"^{variable}: .*Allowed is ") as refused:
        load_settings()

    assert value not in chain(refused.value)


@pytest.mark.parametrize("variable", [f"MAMBO_{field.upper()}" for field in MamboSettings.model_fields])
def test_a_variable_that_is_set_and_empty_is_refused(
    folder: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its default would be no limit, another ledger, or the real API. `.env` does not fill its place, nor set it so."""
    told = "is a command, and may not|is empty; set it, or take the variable away. Allowed is "
    refused = pytest.raises(SettingsError, match=rf"{variable}: ({told})")
    (folder / ".env").write_text(f"{variable}=1\n" if variable != "MAMBO_ON_PROBLEM" else "")
    for blank in ("", "  "):
        monkeypatch.setenv(variable, blank)
        with refused:
            load_settings()
    monkeypatch.delenv(variable)
    monkeypatch.setenv("MAMBO_API_KEY", CANARY)
    for line in (variable, f"{variable}=", f"{variable}=''"):
        (folder / ".env").write_text(f"{line}\n")
        if variable != "MAMBO_API_KEY":  # which the environment has
            with refused:
                load_settings()


def test_a_file_in_another_encoding(folder: Path) -> None:
    (folder / ".env").write_bytes(f"MAMBO_API_KEY={CANARY}\nMAMBO_ACCOUNT=caf\xe9\n".encode("cp1252"))

    with pytest.raises(SettingsError, match=r"^\.env: cannot be read as UTF-8") as refused:
        load_settings()

    assert CANARY not in chain(refused.value)


def test_an_unknown_argument_is_a_mistake_in_the_program() -> None:
    with pytest.raises(TypeError, match="acount"):
        load_settings(acount="main")


class TestTheHostRule:
    """A `.env` that sets the host must supply the secrets too: they are not sent where a file chose."""

    HOST = "MAMBO_BASE_URL=https://elsewhere.example.org\n"

    @pytest.mark.parametrize("variable", ["MAMBO_API_KEY", "MAMBO_PASSWORD"])
    @pytest.mark.parametrize("own", ["", "MAMBO_API_KEY=theirs\nMAMBO_PASSWORD=theirs\n"], ids=["no key", "own key"])
    def test_secrets_of_the_environment_stay_here(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, own: str
    ) -> None:
        (folder / ".env").write_text(self.HOST + own)
        monkeypatch.setenv(variable, CANARY)

        with pytest.raises(SettingsError, match=variable) as refused:
            load_settings()
        with pytest.raises(SettingsError, match=variable):
            MamboSettings()

        assert CANARY not in chain(refused.value)

    def test_a_key_given_as_an_argument_stays_here(self, folder: Path) -> None:
        (folder / ".env").write_text(self.HOST)

        with pytest.raises(SettingsError, match="MAMBO_API_KEY"):
            load_settings(api_key=CANARY)

    def test_host_and_key_of_one_file_belong_together(self, folder: Path) -> None:
        (folder / ".env").write_text(self.HOST + "MAMBO_API_KEY=theirs\n")

        settings = load_settings()

        assert settings.host == "elsewhere.example.org"
        assert settings.require_api_key().get_secret_value() == "theirs"

    def test_a_host_alone_needs_no_key_until_one_is_asked_for(self, folder: Path) -> None:
        (folder / ".env").write_text(self.HOST)

        with pytest.raises(SettingsError, match="is not set"):
            load_settings().require_api_key()

    def test_a_host_of_the_environment_is_the_users_choice(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / ".env").write_text(self.HOST + "MAMBO_API_KEY=from-file\n")
        monkeypatch.setenv("MAMBO_BASE_URL", "https://chosen.example.org")
        monkeypatch.setenv("MAMBO_PASSWORD", CANARY)

        settings = load_settings()

        assert settings.host == "chosen.example.org"
        assert settings.require_api_key().get_secret_value() == "from-file"


class TestTheCommand:
    """MAMBO_ON_PROBLEM is run on this machine, so only its owner may name it."""

    @pytest.mark.parametrize(
        ("line", "command"),
        [
            ("tell", ["tell"]),
            ("/usr/local/bin/tell --of 'mambo pipelines'", ["/usr/local/bin/tell", "--of", "mambo pipelines"]),
            ('sh -c "cat > /tmp/told"', ["sh", "-c", "cat > /tmp/told"]),
        ],
    )
    def test_one_that_is_fine(self, line: str, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAMBO_ON_PROBLEM", line)

        assert command_on_problem(load_settings()) == command_on_problem(None) == command

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            (f"tell '{CANARY}", "a quote without its partner"),
            (f"tell {CANARY}\\", "a quote without its partner, or ends with a backslash"),
            ("''", "names no program"),
            (f"'' {CANARY}", "names no program"),
            (f"./tell {CANARY}", "a program in the current folder"),
            (f"bin/tell {CANARY}", "a program in the current folder"),
            (f"~/tell {CANARY}", "a program in the current folder"),
        ],
    )
    def test_one_that_is_refused(self, line: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAMBO_ON_PROBLEM", line)

        with pytest.raises(SettingsError, match=rf"^MAMBO_ON_PROBLEM: .*{told}.*Allowed is ") as refused:
            load_settings()

        assert CANARY not in chain(refused.value)
        assert command_on_problem(None) is None

    def test_there_is_none_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert command_on_problem(load_settings()) is command_on_problem(None) is None
        monkeypatch.setenv("MAMBO_ON_PROBLEM", "")  # refused, which there is nobody to be told of
        assert command_on_problem(None) is None

    @pytest.mark.parametrize("own", ["", "tell"], ids=["none", "own"])
    @pytest.mark.parametrize("name", ["MAMBO_ON_PROBLEM", "mambo_on_problem"])
    def test_a_file_cannot_name_one(self, folder: Path, name: str, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / ".env").write_text(f"{name}=theirs {CANARY}\n")
        if own:
            monkeypatch.setenv("MAMBO_ON_PROBLEM", own)

        with pytest.raises(SettingsError, match=r"^\.env, MAMBO_ON_PROBLEM: is a command, and may not") as refused:
            load_settings()

        assert CANARY not in chain(refused.value)
        assert command_on_problem(None) == ([own] if own else None)


@pytest.mark.parametrize("key", ["k", "abc-DEF_123", "a b", "0/+=~!"])
def test_a_key_that_is_fine(key: str) -> None:
    assert load_settings(api_key=key).require_api_key().get_secret_value() == key


@pytest.mark.parametrize(
    "key", [CANARY + "\n", " " + CANARY, CANARY + "\r\nX: y", CANARY + "\N{EN DASH}", CANARY + "\x00", CANARY + "\x7f"]
)
def test_a_key_that_http_cannot_carry(key: str) -> None:
    settings = load_settings(api_key=key)  # commands that need no key work

    with pytest.raises(SettingsError, match=r"^MAMBO_API_KEY: ") as refused:
        settings.require_api_key()

    assert CANARY not in chain(refused.value)


def test_a_missing_key_is_told_with_where_to_get_one() -> None:
    with pytest.raises(SettingsError, match=r"^MAMBO_API_KEY: is not set\. Generate a key under API Settings"):
        load_settings().require_api_key()


def test_nothing_secret_or_personal_shows() -> None:
    settings = load_settings(
        api_key=CANARY,
        password=CANARY,
        store=f"postgresql://u:{CANARY}@h/d",
        username="0772123456",
        on_problem=f"tell --token {CANARY}",
    )

    assert CANARY not in f"{settings!r} {settings} {settings.model_dump()}"
    assert "0772123456" not in repr(settings)


def test_settings_do_not_change_under_a_run() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().account = "other"  # type: ignore[misc]  # that is what the test is about


def test_the_checked_key_comes_back() -> None:
    assert check_api_key("abc") == "abc"
