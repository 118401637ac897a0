"""How the figures look: a colour-blind safe palette, no chart junk, and the same bytes from the same data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from modelferry.core.files import replacing

WIDTH = 8.0
DPI = 150
PANELS = 4
INK = "#333333"
FAINT = "#9a9a9a"
EAGER_COLOUR = "#555555"

# Okabe and Ito, https://jfly.uni-koeln.de/color/ (without yellow, too faint on white)
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")

_SETTINGS = {
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "modelferry",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style, whatever the user's own matplotlib settings are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def panels(heights: Sequence[float], share_x: bool = False) -> tuple[Any, list[Any]]:
    """Return a figure and one panel below the other, of these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(heights), 1, squeeze=False, sharex=share_x, gridspec_kw={"height_ratios": list(heights)})
    return figure, [row[0] for row in grid]


def save(figure: Any, path: Path, lines: bool = False) -> None:
    """Write a figure as PNG, and beside it as SVG if it is made of few `lines`: without a date or a version in it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    if lines:
        with replacing(path.with_suffix(".svg")) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def colours(exports: Sequence[str]) -> dict[str, str]:
    """Return one colour for each export, the same in every figure."""
    return {export: PALETTE[number % len(PALETTE)] for number, export in enumerate(exports)}


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Return positions of labels in the same order, moved so that neighbours are at least `gap` from each other."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    moved = list(positions)
    for lower, upper in pairwise(order):
        moved[upper] = max(moved[upper], moved[lower] + gap)
    shift = sum(a - b for a, b in zip(moved, positions, strict=True)) / len(positions) if positions else 0.0
    return [position - shift for position in moved]
