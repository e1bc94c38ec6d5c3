"""How the charts of a report are drawn: by Altair as still pictures (SVG), so that the page needs no script.

Each is drawn twice, for a wide and for a narrow screen, because a picture that is made smaller makes its letters
smaller. Bars carry their figures, so that no legend and no colour is needed to read them; the colours are those of
Okabe and Ito, which colour-blind people can tell apart (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import altair as alt
import polars as pl
import vl_convert  # noqa: F401 - what Altair draws with; without it a picture fails only when it is saved

WIDE, NARROW = 720, 340  # pixels, the whole picture
BAR = 30  # height of a bar with the space around it

BLUE, SKY, GREEN, ORANGE, RED, PURPLE, WINE, GREY, SILVER = (
    *("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#8E3B72", "#8A8A8A", "#BBBBBB"),
)
PALE = "#CFDCE6"

_INK = "#222222"
_TEXT = 13
_LETTER = 6.8  # width of a letter of this size, on average
_NAMES_SHARE = 0.38  # of the picture, at most, for the names of its bars

Drawing = alt.LayerChart | alt.FacetChart  # what `layer` may give, by its types


@dataclass(frozen=True, slots=True)
class Chart:
    name: str
    title: str
    wide: str  # SVG
    narrow: str


def drawn(name: str, title: str, words: str, draw: Callable[[int], Drawing]) -> Chart:
    """A chart that `draw` makes for a width in pixels; `words` is what it shows, for those who cannot see it."""
    return Chart(name, title, *(_svg(draw(width), width, f"{title}: {words}") for width in (WIDE, NARROW)))


def _svg(chart: Drawing, width: int, words: str) -> str:
    """The picture as a part of a page: as wide as there is room, and told to those who cannot see it."""
    whole = (
        chart.properties(width=width, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(font="Arial, Liberation Sans, sans-serif", aria=False, padding=4, background="white")
        .configure_axis(
            labelFontSize=_TEXT, labelColor=_INK, domain=False, ticks=False, gridColor="#E6E6E6", labelPadding=6
        )
        .configure_text(fontSize=_TEXT, color=_INK)
        .configure_view(stroke=None)
    )
    file = io.StringIO()
    whole.save(file, format="svg", engine="vl-convert")
    label = escape(words, quote=True)
    return re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")>',
        rf'<svg \1 role="img" aria-label="{_literal(label)}">',
        file.getvalue(),
        count=1,
    )


def _literal(text: str) -> str:
    """`text` as the replacement of a pattern."""
    return text.replace("\\", r"\\")


def names(titles: pl.Series, width: int) -> alt.Y:
    """The names of bars, in the order in which they come; a long one is cut in its middle, the table has it whole."""
    most = round(width * _NAMES_SHARE / _LETTER)
    cut = f"slice(datum.label, 0, {most - 9}) + '…' + slice(datum.label, -8)"
    axis = alt.Axis(labelExpr=f"length(datum.label) > {most} ? {cut} : datum.label", labelLimit=0)
    return alt.Y("title:N", sort=titles.to_list(), title=None, axis=axis)


def room_for_labels(frame: pl.DataFrame, column: str, width: int) -> alt.Scale:
    """A scale that leaves room for the text behind the longest bar."""
    names = min(max(len(title) for title in frame["title"]) * _LETTER, width * _NAMES_SHARE) + 20
    labels = max(len(label) for label in frame["label"]) * _LETTER + 8
    plot = width - names
    values = frame[column].to_list()
    end = max(*values, 1) * plot / max(plot - labels, plot * 0.2)
    return alt.Scale(domain=[min(0, *values), end], nice=False)


def amounts(width: int) -> alt.Axis:
    return alt.Axis(format=",d" if width == WIDE else "~s", tickCount=5, tickMinStep=1)
