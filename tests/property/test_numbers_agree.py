"""Whole columns are decided as `judge_number` decides one value, and `judge_number` as `phonenumbers` does.

Whatever is typed, however it is spaced, by either way of reading it: one answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import phonenumbers
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumberType, carrier

from data.make_examples import REJECTED, REPAIRED, spell
from mambo_io.datasets import read_dataset
from pipelines.number_prefixes import prefix_verdicts
from pipelines.number_rules import NumberVerdict, Several, judge_number
from pipelines.numbers import normalize_numbers
from support import number_mixes
from support.environment import REPOSITORY

ALL_PREFIXES = [f"{prefix:04}" for prefix in range(10_000)]
FORMS = ["{}", "0{}", "256{}", "+256{}", "00256{}", "2560{}", "+2560{}"]
LOOK_ALIKES = ["+{}", "+0{}", "00{}", "0256{}", "256256{}", "25600{}", "000256{}", "254{}", "+254{}", "7{}", "{}0"]

# What is judged by a stand-in for its kind: digits in many places, and what makes one digit matter more than another.
DRESSED = [
    "Tel: {}", "mob.{}", "phone no. {} ", "tel {} (Jane)", "{} MTN", "({})", "[{}]", "={}", '="{}"', "'{}'", "{};",
    ",{}", "{}?", "{}.0", "{}.00", "{}.000", "{}.5", "{}.50", "+{}.0", "{},00", "-{}", "({}", "{}E+0", "{}e2",
    "{}x1", "{} ext 42", "{}#", "{} #12#", "#{}", "{}/7", "{}, 7", "{} (2)", "{}(123)", "{}-1", "{} 12", "{}123",
    "1{}", "000{}", "005{}", "0{}0", "{}/0701234567", "{} 0701234567", "0701 234 567 / {}", "{} or {}", "{}\n{}",
    "0414123456 and {}", "{},{};{}", "{}\u0661", "\uff0b{}", "{}\u00b2", "{}\U0001d7d8", "\u202a{}\u202c",
    "\u2212{}", "x{}", "0{}O", "{}a{}",
]  # fmt: skip

dash_or_space = st.sampled_from([" ", "-", "\u00a0", "\u2009", "\u200b", "\u2013", "\t", "'", "\ufeff"])
national = st.from_regex(r"7[0-9]{8}|[0-9]{9}|[0-9]{7,11}", fullmatch=True, alphabet="0123456789")
written = st.builds(str.format, st.sampled_from(FORMS + LOOK_ALIKES), national)
noise = st.text(" -+()./,;:&|'\"=xXeEorTel#*\n\u00a0\u200b\u2013\u00b2\u0660\uff11", max_size=3)

words = st.sampled_from(
    ["Tel: ", "mob ", " or ", "and", " ext ", "ext.", " x", "E+", "e1", ".0", ".00", " (Jane)", "#", "256", "00"]
)


@st.composite
def mistyped(draw: st.DrawFn) -> str:
    """A number, or two, with something put in at some places."""
    text = "".join(draw(st.lists(written, min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(noise | words) + text[at:]
    return text


def _columns(typed: Iterable[str | None], *, several: Several = "reject") -> list[tuple[str | None, ...]]:
    frame = pl.DataFrame({"phone": typed}, schema={"phone": pl.String})
    return normalize_numbers(frame, several=several).select("e164", "network_guess", "reject_reason").rows()


def _one_by_one(typed: Iterable[str | None], *, several: Several = "reject") -> list[tuple[str | None, ...]]:
    verdicts = [judge_number(text, several=several) for text in typed]
    return [(verdict.e164, verdict.network_guess, verdict.reason) for verdict in verdicts]


@pytest.mark.parametrize("form", FORMS)
def test_every_prefix_in_every_form(form: str) -> None:
    digits = random.Random(form)
    typed = [form.format(f"{prefix}{digits.randrange(100_000):05}") for prefix in ALL_PREFIXES]
    assert _columns(typed) == _one_by_one(typed)


@pytest.mark.parametrize("form", LOOK_ALIKES)
def test_prefixes_in_forms_that_only_look_common(form: str) -> None:
    typed = [form.format(f"{prefix}12345") for prefix in ALL_PREFIXES[2_000::23]]
    assert _columns(typed) == _one_by_one(typed)


@pytest.mark.parametrize(
    "pattern", ["{0} {1} {2}", "{0}-{1}-{2}", " {0}\u00a0{1}{2}\u200b", "'{0}\u2013{1} {2}", "-{0}{1}{2}"]
)
def test_prefixes_in_spaced_forms(pattern: str) -> None:
    digits = random.Random(pattern)
    typed = []
    for prefix in digits.sample(ALL_PREFIXES[2_000:], 500):
        form = digits.choice(FORMS)
        typed.append(pattern.format(form.format(prefix), digits.randrange(10, 100), digits.randrange(100, 1_000)))
    assert _columns(typed) == _one_by_one(typed)


@pytest.mark.parametrize("written", [*REPAIRED, *REJECTED])
def test_prefixes_in_every_form_of_the_example_lists(written: str) -> None:
    digits = random.Random(written)
    typed = [spell(written, f"{prefix}{digits.randrange(100_000):05}") for prefix in digits.sample(ALL_PREFIXES, 400)]
    assert _columns(typed) == _one_by_one(typed)


@pytest.mark.parametrize("dress", DRESSED)
def test_prefixes_in_forms_that_are_judged_by_a_stand_in(dress: str) -> None:
    digits = random.Random(dress)
    typed = []
    for prefix in digits.sample(ALL_PREFIXES, 300):
        national = f"{prefix}{digits.randrange(10**7):07}"[: digits.choice([6, 7, 8, 9, 9, 9, 9, 10, 11])]
        number = digits.choice(FORMS + LOOK_ALIKES).format(national)
        typed.append(dress.replace("{}", number))
    assert _columns(typed) == _one_by_one(typed)
    assert _columns(typed, several="first") == _one_by_one(typed, several="first")


@pytest.mark.parametrize("plus", ["+", "", "00", "000", "005", "007", "0050", "0000"])
def test_every_country(plus: str) -> None:
    """Whether a number exists abroad is found by its start, for the countries where that is enough."""
    digits = random.Random(plus)
    typed = [
        f"{plus}{code}{digits.randrange(10**length):0{length}}"
        for code in COUNTRY_CODE_TO_REGION_CODE
        for length in (6, 7, 8, 9, 10, 11)
    ]
    assert _columns(typed) == _one_by_one(typed)


@pytest.mark.parametrize("mix", [number_mixes.realistic, number_mixes.dirty])
def test_mixes_of_forms(mix: Callable[[int], list[str]]) -> None:
    typed = mix(5_000)
    assert _columns(typed) == _one_by_one(typed)


def test_the_example_list() -> None:
    typed = read_dataset(REPOSITORY / "data" / "people.csv").frame["phone"].to_list()
    assert _columns(typed) == _one_by_one(typed)


def test_few_values_reach_phonenumbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of value is asked about once, so that of many values few are parsed, however dirty the list is."""
    parsed: list[str] = []
    parse = phonenumbers.parse

    def counted(text: str, region: str | None) -> phonenumbers.PhoneNumber:
        parsed.append(text)
        return parse(text, region)

    monkeypatch.setattr(phonenumbers, "parse", counted)
    assert len(_columns(number_mixes.dirty(100_000))) == 100_000
    assert len(parsed) < 3_000


def test_a_lazy_frame_is_judged_batch_by_batch() -> None:
    typed = number_mixes.dirty(250_000)
    lazy = normalize_numbers(pl.LazyFrame({"phone": typed}))
    assert isinstance(lazy, pl.LazyFrame)
    streamed = lazy.select("e164", "network_guess", "reject_reason").collect(engine="streaming")
    assert streamed.rows() == _columns(typed)


def test_phonenumbers_decides_every_prefix() -> None:
    """The plain loop: parse, valid, mobile, of Uganda, format. On clean forms nothing of ours may change its answer."""
    digits = random.Random("clean forms")
    for prefix in ALL_PREFIXES[1_000:]:
        typed = digits.choice(["0{}", "{}", "256{}", "+256{}"]).format(f"{prefix}{digits.randrange(100_000):05}")
        parsed = phonenumbers.parse(typed, "UG")
        mobile = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
        verdict = judge_number(typed)
        if phonenumbers.is_valid_number_for_region(parsed, "UG") and phonenumbers.number_type(parsed) in mobile:
            assert verdict.e164 == phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
            assert verdict.network_guess == (carrier.name_for_number(parsed, "en") or None)
        else:
            assert verdict.e164 is None


def test_a_decided_prefix_has_one_answer() -> None:
    """What is proved from the patterns, tried out: the ends of each mobile range and some numbers between them."""
    table = prefix_verdicts().with_row_index("prefix").filter(pl.col("decided") & pl.col("good"))
    digits = random.Random("decided")
    assert table.height > 500
    for prefix, network in digits.sample(table.select("prefix", "network_guess").rows(), 300):
        for rest in (0, 99_999, digits.randrange(100_000)):
            verdict = judge_number(f"0{prefix:04}{rest:05}")
            assert (verdict.e164, verdict.network_guess) == (f"+256{prefix:04}{rest:05}", network)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=30), mistyped(), written), max_size=25),
    st.sampled_from(["reject", "first"]),
)
@example(["-772123200", "- 772123200", "(772123200)", "\u2212772123200", "077212345 (6)", "077212345/6"], "reject")
@example(["+77212345", "0772+12345", "0-12345678", "7.0000e+8", "0772 12345.0"], "reject")
@example(
    ["0000000", "+000000", "25600000", "0 0256 0", "+25600772123456", "0256", "25677212", "002567", "+2560"], "reject"
)
def test_both_ways_agree_on_anything_typed(typed: list[str | None], several: Several) -> None:
    assert _columns(typed, several=several) == _one_by_one(typed, several=several)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), mistyped()))
def test_a_verdict_is_a_number_or_a_reason(typed: str) -> None:
    verdict = judge_number(typed)
    assert (verdict.e164 is None) != (verdict.reason is None)
    if verdict.e164:
        assert phonenumbers.is_valid_number(phonenumbers.parse(verdict.e164))
        assert judge_number(verdict.e164) == NumberVerdict(verdict.e164, verdict.network_guess)
        # Nothing was invented: the digits of the number stand in the text, in their order.
        assert verdict.e164.removeprefix("+256") in "".join(str(int(sign)) for sign in typed if sign.isdecimal())


@settings(max_examples=200, deadline=None)
@given(national, st.data())
def test_spacing_and_prefix_never_change_the_answer(digits: str, data: st.DataObject) -> None:
    if digits[0] == "0" or len(digits) != 9:
        digits = "7" + digits[:8].rjust(8, "1")
    form = data.draw(st.sampled_from(FORMS))
    typed = form.format(digits)
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(1, len(typed)))  # not in front, where a dash may be a minus
        typed = typed[:at] + data.draw(dash_or_space) + typed[at:]

    plain = judge_number("0" + digits)
    spaced = judge_number(typed)
    assert (spaced.e164, spaced.network_guess, spaced.reason) == (plain.e164, plain.network_guess, plain.reason)
