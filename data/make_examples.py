"""Writes the example lists beside it: people.csv, people.xlsx, people.parquet, opt_outs.csv and deliveries.csv.

    python data/make_examples.py

The people are invented and the same in all three files, in the same rows. The tables below hold what people and
spreadsheets do to such a list; to show one more kind of mess, add a line to one of them and run the script again.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl
import xlsxwriter

from pipelines.campaign import load_campaign
from pipelines.prepare import prepare

T = TypeVar("T")

PEOPLE = 1_000
COLUMNS = {  # and their widths in the workbook, in characters
    "client_id": 10, "first_name": 16, "last_name": 24, "phone": 24,
    "district": 12, "day": 12, "enrolled": 12, "notes": 30,
}  # fmt: skip
DATE = "%d/%m/%Y"


@dataclass(frozen=True)
class Person:
    """One row of the lists. What is no column says how the phone cell is written and the CSV line typed."""

    client_id: str
    first_name: str
    last_name: str
    district: str
    day: str
    enrolled: dt.date | None
    national: str  # the nine digits that the phone cell is made from
    written: str  # see `spell`
    notes: str = ""
    by_hand: bool = False  # the CSV line was typed in a text editor: without quotes, and without empty cells at its end

    @property
    def phone(self) -> str:
        """As a screen shows it, and a spreadsheet program saves it to CSV."""
        return spell(self.written, self.national)

    @property
    def phone_number(self) -> int | None:
        """What the workbook's cell holds where that is a number; null where it is text."""
        match self.written:
            case "{n}" | "{n}.0":
                return int(self.national)
            case "256{n}" | "256,{a},{b},{c}" | "2.56{a}E+11":
                return int(f"256{self.national}")
            case "-{a}{b}200":
                return int(self.phone)
            case _:
                return None

    @property
    def phone_in_full(self) -> str:
        """As a program exports it that does not round what a cell has no room to show."""
        return str(self.phone_number) if self.written == "2.56{a}E+11" else self.phone


def spell(written: str, national: str) -> str:
    """A number as `written` says: `n` are its nine digits, `a`, `b`, `c` groups of three, `m` is somebody else's."""
    return written.format(
        n=national,
        a=national[:3],
        b=national[3:6],
        c=national[6:],
        m=f"701{national[:2:-1]}",
        wide=f"0{national}".translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
        arabic=f"0{national}".translate({ord("0") + digit: 0x0660 + digit for digit in range(10)}),
    )


# --- what a list should look like ------------------------------------------------------------------------------------

# Common names stand first and are given more often.
WOMEN = (
    "Sarah Grace Mary Esther Agnes Betty Christine Joyce Florence Harriet Irene Juliet Lydia Margaret Prossy Rose Ruth "
    "Scovia Stella Sylvia Winnie Amina Hadijah Zainab"
)
MEN = "John Moses David Peter Emmanuel Joseph Ivan Ronald Brian Samuel Patrick Geoffrey Hassan Ibrahim"


class Region(NamedTuple):
    """Second names differ from one end of the country to the other, and most tell a woman from a man."""

    districts: str
    women: str
    men: str


CENTRE = Region(
    "Kampala Wakiso Mukono Masaka Luweero",
    "Nakato Babirye Nabukenya Namukasa Nansubuga Nakimuli Nalubega Nakayiza Namugga Nassuuna",
    "Wasswa Kato Mukasa Kizito Lubega Kiggundu Mugerwa Ssempijja Ssekandi Sserwadda",
)
WEST = Region(
    "Mbarara Bushenyi Kabale Hoima",
    "Atuhaire Kyomugisha Ainembabazi Natukunda Ninsiima Asiimwe Tusiime Kemigisha",
    "Tumusiime Mugisha Byaruhanga Twinomujuni Tumwine Muhumuza Kamugisha Baguma",
)
EAST = Region(
    "Jinja Iganga Mbale Soroti",
    "Nabirye Kagoya Mutesi Nambozo Khainza Akiror Amuge Asekenye",
    "Waiswa Kirunda Mudoola Wafula Wanyama Opolot Okiror Isabirye",
)
NORTH = Region(
    "Gulu Lira Kitgum Arua",
    "Akello Acen Apio Auma Lakot Adongo Draru Avako",
    "Okello Ocen Opio Ojok Odongo Olanya Candia Ezati",
)
REGIONS = (CENTRE, CENTRE, WEST, EAST, NORTH)  # more people live in the centre
DAYS = ("Tuesday", "Wednesday", "Thursday")  # each district has its own

# How numbers begin: half MTN, some Airtel, few UTL, and LycaMobile, for which customised sender IDs are not documented.
BEGINNINGS = "77 78 76 77 78 77 76 78 77 78 77 76 78 77 76 78 77 78 70 75 74 75 70 75 70 74 75 70 75 74 70 75 70 71 726"

USUAL = ("0{n}", "0{n}", "0{n}", "0{n}", "{n}", "0{a} {b}{c}", "0{a} {b} {c}", "+256{n}", "256{n}", "0{a}-{b}{c}")

# --- what becomes of it ----------------------------------------------------------------------------------------------

# Read as they were meant.
REPAIRED = (
    "  0{n} ", "0{n}\t", "0{a}\u00a0{b}\u00a0{c}", "0{a}\u2009{b}{c}", "0{a}\u200b{b}{c}", "\ufeff0{n}",
    "\u202a+256{n}\u202c", "0{a}\n{b}{c}", "'0{n}", '="0{n}"', "{n}.0", "256{n}.00", "256,{a},{b},{c}", "0{a},{b},{c}",
    "2.56{n}E+11", "00256{n}", "000256{n}", "2560{n}", "+256 (0){a} {b}-{c}", "(0{a}) {b}{c}", "0{a}/{b}/{c}",
    "0{a}.{b}.{c}", "Tel: 0{a} {b}{c}", "Mob. 0{n}", "WhatsApp:0{n}", "tel:+256{n}", "Phone - 0{n}", "{wide}",
    "{arabic}", "0{a}\u2013{b}\u2014{c}", "0{a}\u2212{b}{c}", "0{n};",
)  # fmt: skip

# Turned away, in the order of the reasons.
REJECTED = (
    # missing
    "", "", "", "   ", "N/A", "n/a", "none", "nil", "-", "NULL", "#N/A", "no phone", "TBA", "?", "0",
    # rounded_by_spreadsheet: the first three in the CSV only, the workbook still holds all digits
    "2.56{a}E+11", "2.56{a}E+11", "2.56{a}E+11", "2.56{a}e+11", "2.56{a}{b}E+11", "2,56{a}E+11",
    # contains_letters
    "O{n}", "0{a}xxxxxx", "0{a}ABCDEF", "0{n} (sister)", "0{n} MTN", "see notes",
    # several_numbers
    "0{n}/0{m}", "0{n}; 0{m}", "0{n} or 0{m}", "0{n}, 0{m}", "0{n}\n0{m}", "0{a} {b} {c} 0{m}",
    # has_extension
    "0{a} {b}{c} ext. 4", "0{n} extension 426", "0{n}x12",
    # too_short, too_long
    "0{a}{b}12", "256{a}{b}12", "{a}{b}", "0{a}{b}12/6", "0{n}7", "256256{n}", "+2560{n}1",
    # foreign
    "+254722{b}{c}", "254722{b}{c}", "00254 722 {b}{c}", "+250788{b}{c}", "+211 921 {b}{c}", "+44 7911 {b}{c}",
    # not_mobile
    "0414{b}{c}", "+256 414 {b}{c}", "0312{b}{c}", "0200{b}{c}", "0800100{c}", "999",
    # invalid_number
    "0722{b}{c}", "0733{b}{c}", "-{a}{b}200", "0{a}_{b}_{c}", "0{n}?", "*165#",
)  # fmt: skip

REMARK = (
    " (moved to her elder sister's home near the primary school, comes with the twins and the card of her last child, "
    "asks for the afternoon because of the market, has no power at home, so please call her sister first, whose number "
    "is on the card)"
)

# Other cells of one row. A spreadsheet program takes what begins with = + - @ for a formula.
OTHER_CELLS: tuple[dict[str, Any], ...] = (
    {"first_name": "  "},
    {"first_name": " Grace "},
    {"first_name": "MARY"},
    {"first_name": "prossy"},
    {"first_name": "A\u014bee"},  # the letter eng, which the alphabet of short messages lacks
    {"first_name": "O\u014bwech"},
    {"first_name": "Nang\u2019oma"},  # a curly apostrophe, as telephones and word processors set it
    {"first_name": "Nang'oma"},
    {"first_name": "Agnes" + REMARK},
    {"day": ""},
    {"day": ""},
    {"day": "  "},
    {"day": "tuesday"},
    {"day": "Wednesday "},
    {"last_name": "Ng'ambo"},
    {"last_name": "O\u014bom"},
    {"last_name": "Okello, Snr"},
    {"last_name": "Nakato\n(twin of Babirye)"},
    {"last_name": '"Maama" Nansubuga'},
    {"last_name": "Opio, Jnr", "notes": "not on market days", "by_hand": True},  # one cell too many
    {"last_name": '"Mzee" Wanyama', "by_hand": True},  # quotes that do not hold the whole cell
    {"enrolled": None, "by_hand": True},  # two cells too few
    {"enrolled": None},
    {"district": "@Gulu"},
    {"district": "-"},
    {"district": "=Mbale"},
    {"district": "+Wakiso"},
    {"district": ""},
    {"notes": "=B2&C2"},
    {"notes": "+1 child"},
    {"notes": "- card lost"},
    {"notes": "@clinic gate"},
    {"notes": "\tsee the blue book"},
    {"notes": 'says "call me first"\nsecond visit'},
)

# People who stand there twice: the second time their number is written so, and their name in capitals.
TWICE = ("+256{n}", "0{a} {b} {c}", "256{n}", "{n}", "0{a}-{b}-{c}", "00256{n}", "+256 (0){n}", "Tel: 0{n}")

BLANK_ROWS = {45: "", 46: ",,,,,,,", 388: "", 702: " , ,,,,,,"}  # before which person (from 0), and how the CSV has it

NOT_IN_THE_LIST = ("0772 000 119", "+256701000242", "0753000377", "lost the paper")  # but among the opt-outs
OPTED_OUT = ("asked at the desk", "sent STOP", "wrong person", "asked by phone")


class Chance:
    """The same choices on every machine: `random()` alone promises that from one Python to the next."""

    def __init__(self, seed: int) -> None:
        self.share = random.Random(seed).random  # noqa: S311 - people are invented here, not secrets

    def one_of(self, items: Sequence[T]) -> T:
        return items[int(self.share() * len(items))]

    def often_the_first(self, items: Sequence[T]) -> T:
        return items[int(self.share() ** 2 * len(items))]


def make_people() -> list[Person]:
    """Clean people first. Then every seventh row gets an entry of the tables, and some rows between repeat others."""
    chance = Chance(256)
    taken: set[str] = set()
    people = [_clean_person(f"{number:05}", chance, taken) for number in range(1, PEOPLE + 1)]

    mess = [{"written": written} for written in (*REPAIRED, *REJECTED)] + list(OTHER_CELLS)
    places = range(3, PEOPLE, 7)
    assert len(mess) <= len(places), "more mess than the list has room for"
    for index, cells in enumerate(mess):
        place = places[index * 37 % len(places)]  # scattered; 37 is prime, so each place is taken once
        people[place] = replace(people[place], **cells)
    for first, again, written in zip(range(7, PEOPLE, 42), range(511, PEOPLE, 56), TWICE, strict=False):
        person = people[first] = replace(people[first], written="0{n}")
        client_id, first_name = people[again].client_id, person.first_name.upper()
        people[again] = replace(person, client_id=client_id, first_name=first_name, written=written)
    return people


def _clean_person(client_id: str, chance: Chance, taken: set[str]) -> Person:
    region = chance.one_of(REGIONS)
    districts = region.districts.split()
    district = chance.one_of(districts)
    first_names, last_names = (WOMEN, region.women) if chance.share() < 0.7 else (MEN, region.men)
    national = ""
    while not national or national in taken:
        national = (chance.one_of(BEGINNINGS.split()) + f"{int(chance.share() * 10**7):07}")[:9]
    taken.add(national)
    return Person(
        client_id=client_id,
        first_name="" if chance.share() < 0.03 else chance.often_the_first(first_names.split()),
        last_name=chance.one_of(last_names.split()),
        district=district,
        day=DAYS[districts.index(district) % len(DAYS)],
        enrolled=dt.date(2024, 1, 8) + dt.timedelta(days=int(chance.share() * 600)),
        national=national,
        written=chance.one_of(USUAL),
    )


# --- the files -------------------------------------------------------------------------------------------------------


def write_examples(folder: Path) -> None:
    """Write the five files into `folder`; the CSV files come out the same to the byte every time."""
    people = make_people()
    rows: list[Person | str] = []  # a person, or a blank line
    for place, person in enumerate(people):
        rows += [BLANK_ROWS[place], person] if place in BLANK_ROWS else [person]
    (folder / "people.csv").write_bytes("".join(_csv_lines(rows)).encode("utf-8-sig"))
    _write_workbook(rows, folder / "people.xlsx")
    _parquet_frame(rows).write_parquet(folder / "people.parquet")
    (folder / "opt_outs.csv").write_bytes("".join(_opt_out_lines(people)).encode())
    (folder / "deliveries.csv").write_bytes("".join(_delivery_lines()).encode())


def _csv_lines(rows: Sequence[Person | str]) -> Iterator[str]:
    """As a spreadsheet program's "CSV UTF-8": byte order mark, commas, CR LF; a line break in a cell is LF."""
    yield _csv_line(list(COLUMNS))
    for row in rows:
        if isinstance(row, str):
            yield f"{row}\r\n"
            continue
        cells = {**_cells(row), "enrolled": f"{row.enrolled:{DATE}}" if row.enrolled else ""}.values()
        yield ",".join(cells).rstrip(",") + "\r\n" if row.by_hand else _csv_line(list(cells))


def _cells(person: Person) -> dict[str, Any]:
    return {column: getattr(person, column) for column in COLUMNS}


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _write_workbook(rows: Sequence[Person | str], path: Path) -> None:
    """Cells of the types that typing gives them: dates are dates; some phones are numbers, a formula or an error."""
    with xlsxwriter.Workbook(path) as book:
        book.set_properties({"created": dt.datetime(2026, 1, 1)})  # noqa: DTZ001 - a workbook knows no time zones
        sheet = book.add_worksheet("Clients")
        bold, day = book.add_format({"bold": True}), book.add_format({"num_format": "dd/mm/yyyy"})
        digits, thousands = book.add_format({"num_format": "0"}), book.add_format({"num_format": "#,##0"})
        sheet.freeze_panes(1, 0)
        for column, (name, width) in enumerate(COLUMNS.items()):
            sheet.set_column(column, column, width)
            sheet.write_string(0, column, name, bold)
        for place, row in enumerate(rows, start=1):
            if isinstance(row, str):
                continue
            for column, (name, cell) in enumerate(_cells(row).items()):
                match name, cell:
                    case "phone", "#N/A":
                        sheet.write_formula(place, column, "=NA()", value="#N/A")
                    case "phone", str() if cell.startswith("="):
                        sheet.write_formula(place, column, cell, value=cell[2:-1])
                    case "phone", str() if (number := row.phone_number) is not None:
                        shown = {"256,{a},{b},{c}": thousands, "2.56{a}E+11": None}.get(row.written, digits)
                        sheet.write_number(place, column, number, shown)
                    case _, dt.date():
                        sheet.write_datetime(place, column, cell, day)
                    case _, str() if cell:
                        sheet.write_string(place, column, cell)


def _parquet_frame(rows: Sequence[Person | str]) -> pl.DataFrame:
    """As a program exports its table: text and one date column; a blank row is a row of nulls."""
    cells = [{} if isinstance(row, str) else {**_cells(row), "phone": row.phone_in_full} for row in rows]
    return pl.DataFrame(cells, schema=dict.fromkeys(COLUMNS, pl.String) | {"enrolled": pl.Date})


def _opt_out_lines(people: Sequence[Person]) -> Iterator[str]:
    """Who must not be messaged: twenty of the list, as another hand writes their numbers, and some others."""
    listed = [spell(TWICE[index % len(TWICE)], people[20 + 49 * index].national) for index in range(20)]
    yield _csv_line(["phone", "since", "how"])
    for index, phone in enumerate((*listed, *NOT_IN_THE_LIST)):
        since = dt.date(2025, 2, 3) + dt.timedelta(days=11 * index)
        yield _csv_line([phone, f"{since:{DATE}}", OPTED_OUT[index % len(OPTED_OUT)]])


# What became of a hundred messages: what the receipts say, one after the other. Of two there is none.
RECEIPTS = (
    *[("DELIVRD",)] * 78, *[("ENROUTE", "DELIVRD")] * 10, *[("UNDELIV",)] * 4, ("ENROUTE", "UNDELIV"),
    *[("EXPIRED",)] * 3, ("REJECTD",), ("ENROUTE",), (), (),
)  # fmt: skip
ERRORS = {"DELIVRD": "000", "ENROUTE": "000", "UNDELIV": "001", "EXPIRED": "027", "REJECTD": "088"}
ANOTHER_SENDERS = "256772000119"  # the provider mixed in a message that was not ours


def _delivery_lines() -> Iterator[str]:
    """What a provider exports after the campaign clinic-day. No times: the example may be sent on any day.

    One network, which the category does not promise to reach, reports nothing.
    """
    chance = Chance(34)
    plan = prepare(load_campaign(Path(__file__).with_name("clinic-day.toml")), edition="1", account="", ledger=None)
    sent = plan.frame.filter(pl.col("chunk").is_not_null() & (pl.col("network_guess") != "LycaMobile"))
    yield _csv_line(["MSISDN", "Network", "Status", "Error"])
    yield _csv_line([ANOTHER_SENDERS, "MTN", "DELIVRD", ERRORS["DELIVRD"]])
    for e164, network in sent.select("e164", "network_guess").iter_rows():
        for status in chance.one_of(RECEIPTS):
            yield _csv_line([e164.removeprefix("+"), network, status, ERRORS[status]])


if __name__ == "__main__":
    write_examples(Path(__file__).parent)
