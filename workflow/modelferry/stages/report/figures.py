"""The report's figures, each a function from models to a figure, or to nothing where there is nothing to show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modelferry.records.summary import Summary, SummaryModel
from modelferry.stages.report import style
from modelferry.stages.report.difference_figure import Difference, differences
from modelferry.stages.report.formatting import decimal, scientific
from modelferry.stages.report.grouping import by_campaign, exports, size_noun
from modelferry.stages.report.latency import (
    EAGER,
    Latency,
    Point,
    at_working_point,
    latencies,
    measured,
    ratio,
    spelled,
    working_point,
)

BY_FORMAT = "latency-by-format.png"
BY_PARTICLES = "latency-by-particles.png"
BY_BATCH = "throughput-by-batch.png"
DIFFERENCE = "numerical-difference.png"
DECADE = 10.0
"""Times that differ by more than this factor have a logarithmic axis."""

TITLES: dict[str, str] = {
    BY_FORMAT: "Latency by format",
    BY_PARTICLES: "Latency by size of event",
    BY_BATCH: "Throughput by batch size",
    DIFFERENCE: "Numerical difference from the network as trained",
}


def described(name: str, models: Sequence[SummaryModel]) -> str:
    """Return what a figure shows, in words: its title, and what one sees of each of the first campaigns."""
    seen = filter(None, (_SEEN[name](of) for of in list(by_campaign(models).values())[: style.PANELS]))
    return f"{TITLES[name]}. {' '.join(seen)}".strip()


def _fastest(models: Sequence[SummaryModel]) -> str:
    rows = [row for row in at_working_point(models) if row.export != EAGER]
    if not rows:
        return ""
    best = min(rows, key=lambda row: row.p50)
    named = f"{models[0].campaign}: {_label(best, rows)} is the fastest"
    return f"{named}, {decimal(best.p50)} ms a call, {ratio(best.speedup)}."


def _largest(models: Sequence[SummaryModel]) -> str:
    found = [v.max_abs_diff for model in models for artifact in model.artifacts for v in artifact.validation]
    return f"{models[0].campaign}: at most {scientific(max(found))}." if found else ""


def draw(summary: Summary, folder: Path) -> list[Path]:
    """Draw the figures for which there are data into `folder`; return those written."""
    groups = list(by_campaign(summary.models).items())
    written = []
    with style.styled():
        for name, drawing in _DRAWINGS.items():
            figure = drawing(groups)
            if figure is not None:
                style.save(figure, folder / name, lines=True)
                written += [folder / name, (folder / name).with_suffix(".svg")]
    return written


Groups = Sequence[tuple[str, Sequence[SummaryModel]]]


def _label(row: Latency, rows: Sequence[Latency]) -> str:
    runtimes = {other.runtime for other in rows if other.export == row.export}
    return f"{row.export} in {row.runtime}" if len(runtimes) > 1 else spelled(row.export)


def _colour(row: Latency, groups: Groups) -> str:
    known = style.colours(exports([model for _, models in groups for model in models]))
    return known.get(row.export, style.EAGER_COLOUR)


def _title(campaign: str, models: Sequence[SummaryModel], fixed: str) -> str:
    timed = sum(any(artifact.benchmark for artifact in model.artifacts) for model in models)
    over = f", median of {timed} models" if timed > 1 else ""
    return f"{campaign}: {fixed}{over}"


def _more(figure: Any, groups: Sequence[object]) -> None:
    left = len(groups) - style.PANELS
    if left > 0:
        figure.supxlabel(f"and {left} more, as tables on the campaigns' pages", fontsize=8, color=style.FAINT)


def latency_by_format(groups: Groups) -> Any:
    """Return p50 with its interval for each export and runtime, at the working point."""
    data = [(campaign, models, at_working_point(models)) for campaign, models in groups]
    data = [entry for entry in data if entry[2]]
    if not data:
        return None
    figure, axes = style.panels([0.75 + 0.3 * len(rows) for _, _, rows in data[: style.PANELS]])
    for axis, (campaign, models, rows) in zip(axes, data, strict=False):
        furthest = max(row.high for row in rows)
        for y, row in enumerate(rows):
            colour = _colour(row, groups)
            axis.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, alpha=0.5)
            axis.plot(row.p50, y, "o", color=colour, markersize=6)
            speed = "" if row.export == EAGER else f", {ratio(row.speedup)}"
            text = f"{decimal(row.p50)} ms{speed}"
            axis.annotate(text, (row.high, y), (8, 0), textcoords="offset points", va="center", color=style.INK)
        axis.set_yticks(range(len(rows)), [_label(row, rows) for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        nearest = min(row.low for row in rows)
        if furthest > DECADE * nearest:
            axis.set_xscale("log")
            axis.set_xlim(nearest / 1.5, furthest * (furthest / nearest) ** 0.5)
            axis.xaxis.set_major_formatter(lambda value, _: decimal(value, 1 if value < 1 else 2))
            axis.minorticks_off()
        else:
            axis.set_xlim(0, furthest * 1.45)
        axis.grid(axis="x")
        axis.tick_params(axis="y", length=0)
        axis.set_title(_title(campaign, models, str(working_point(models))))
    axes[-1].set_xlabel("p50 latency of a call [ms], with its interval")
    _more(figure, data)
    return figure


def latency_by_particles(groups: Groups) -> Any:
    """Return p50 against the number of particles, one line per export and runtime, for the smallest batch."""

    def wanted(row: Latency, point: Point) -> bool:
        return row.batch == point.batch and row.particles is not None

    sized = [models for _, models in groups if any(row.particles is not None for _, row in measured(models))]
    nouns = dict.fromkeys(map(size_noun, sized))
    return _lines(
        groups, wanted, lambda row: float(row.particles or 0), lambda row: (row.p50, row.low, row.high),
        f"{' or '.join(nouns)} in an event", "p50 latency of a call [ms]",
        lambda point: f"{'one event' if point.batch == 1 else f'{point.batch} events'} a call",
    )  # fmt: skip


def throughput_by_batch(groups: Groups) -> Any:
    """Return events a second against the batch size, one line per export and runtime."""

    def wanted(row: Latency, point: Point) -> bool:
        return row.particles == point.particles

    def values(row: Latency) -> tuple[float, float, float]:
        return row.throughput, 1e3 * row.batch / row.high, 1e3 * row.batch / row.low

    return _lines(
        groups, wanted, lambda row: float(row.batch), values,
        "events in a call (batch size)", "throughput [events/s]",
        lambda point: "events" if point.particles is None else f"events of {point.particles} {point.noun}",
        log_x=True,
    )  # fmt: skip


def _lines(
    groups: Groups,
    wanted: Callable[[Latency, Point], bool],
    x: Callable[[Latency], float],
    values: Callable[[Latency], tuple[float, float, float]],
    x_title: str,
    y_title: str,
    fixed: Callable[[Point], str],
    log_x: bool = False,
) -> Any:
    """Return one panel per campaign of lines on a logarithmic scale, labelled at their right end."""
    data = []
    for campaign, models in groups:
        point = working_point(models)
        rows = [r for r in latencies(models) if point and r.threads == point.threads and wanted(r, point)]
        if point and len({x(row) for row in rows}) > 1:
            data.append((_title(campaign, models, fixed(point)), rows))
    if not data:
        return None
    figure, axes = style.panels([3.4] * len(data[: style.PANELS]))
    for axis, (title, rows) in zip(axes, data, strict=False):
        _line_panel(axis, rows, groups, x, values, log_x)
        axis.set_title(title)
        axis.set_ylabel(y_title)
    axes[-1].set_xlabel(x_title)
    _more(figure, data)
    return figure


def _line_panel(
    axis: Any,
    rows: Sequence[Latency],
    groups: Groups,
    x: Callable[[Latency], float],
    values: Callable[[Latency], tuple[float, float, float]],
    log_x: bool,
) -> None:
    axis.set_yscale("log")
    if log_x:
        axis.set_xscale("log", base=2)
    ends: list[tuple[float, str, str]] = []
    dashes: dict[str, int] = {}
    for series in sorted({row.series for row in rows}):
        line = sorted((row for row in rows if row.series == series), key=x)
        colour = _colour(line[0], groups)
        dashes[series[0]] = dashes.get(series[0], -1) + 1
        dash = ("-", "--", ":", "-.")[dashes[series[0]] % 4]
        middle, low, high = zip(*(values(row) for row in line), strict=True)
        xs = [x(row) for row in line]
        axis.plot(xs, middle, dash, marker="o", markersize=4, color=colour, linewidth=1.6)
        axis.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
        ends.append((middle[-1], _label(line[0], rows), colour))
    ticks = sorted({x(row) for row in rows})
    axis.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axis.minorticks_off()
    axis.yaxis.set_major_locator(_decades(*axis.get_ylim()))
    axis.yaxis.set_major_formatter(lambda value, _: decimal(value, 1 if value < 1 else 2))
    axis.grid(axis="y")
    bottom, top = (math.log10(limit) for limit in axis.get_ylim())
    heights = [(math.log10(end) - bottom) / (top - bottom) for end, _, _ in ends]
    for height, (_, label, colour) in zip(style.spread(heights, 0.065), ends, strict=True):
        axis.annotate(
            label, (1.0, height), (6, 0), xycoords="axes fraction", textcoords="offset points",
            va="center", color=colour, annotation_clip=False,
        )  # fmt: skip


def _decades(low: float, high: float) -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0,))


def numerical_difference(groups: Groups) -> Any:
    """Return the largest difference from the float32 reference beside what float32 itself costs."""
    rows = differences(groups)
    if not rows:
        return None
    return _difference_panel(rows, len(rows))


def _difference_panel(rows: Sequence[Difference], number: int) -> Any:
    figure, (axis,) = style.panels([1.3 + 0.24 * number])
    positive = [v for row in rows for v in (*row.differences, *row.reference_errors) if 0 < v < math.inf]
    allowed = max((row.atol for row in rows), default=0.0)
    floor = 10 ** (math.floor(math.log10(min([*positive, *([allowed] if allowed else []), 1e-6]))) - 1)
    ceiling = 10 ** math.ceil(math.log10(max([*positive, allowed, floor * 100]) * 1.5))
    for y, row in enumerate(rows):
        _strip(axis, row.reference_errors, y, floor, ceiling, {"marker": "|", "color": style.INK})
        colour = style.PALETTE[0] if row.passed else style.PALETTE[1]
        _strip(axis, row.differences, y, floor, ceiling, {"marker": "o", "color": colour})
    if allowed:
        axis.axvspan(floor / 2, allowed, color=style.FAINT, alpha=0.1, linewidth=0)
        axis.axvline(allowed, color=style.FAINT, linewidth=0.8)
        axis.annotate(
            "atol ", (allowed, 0), xycoords=("data", "axes fraction"), ha="right", va="bottom", color=style.INK,
            fontsize=7,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(floor / 2, ceiling)
    ticks = [10.0**power for power in range(round(math.log10(floor)), round(math.log10(ceiling)) + 1)]
    axis.set_xticks(ticks, ["0", *(f"$10^{{{round(math.log10(tick))}}}$" for tick in ticks[1:])])
    axis.minorticks_off()
    axis.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=7.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="both")
    axis.set_xlabel("largest absolute difference of an output (0: equal bit for bit)")
    _legend(figure, any(not row.passed for row in rows))
    return figure


def _strip(axis: Any, values: Sequence[float], y: int, floor: float, ceiling: float, look: dict[str, Any]) -> None:
    """Draw values on a row; zeros at the floor, values that are not finite at the right edge."""
    drawn = [floor if v == 0 else v if math.isfinite(v) else ceiling for v in values]
    alpha = 1.0 if len(values) < 3 else max(0.15, 3 / len(values))
    size = 60 if look["marker"] == "|" else 30
    width = 1.6 if look["marker"] == "|" else 0
    axis.scatter(drawn, [y] * len(drawn), s=size, alpha=alpha, linewidths=width, zorder=3, clip_on=False, **look)


def _legend(figure: Any, failed: bool) -> None:
    from matplotlib.lines import Line2D

    entries = [
        ("artifact against reference, both float32", "o", style.PALETTE[0]),
        *([("the same, failed", "o", style.PALETTE[1])] if failed else []),
        ("reference in float32 against float64", "|", style.INK),
    ]
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=label, markersize=6, markeredgewidth=1.5)
        for label, marker, colour in entries
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=8, handletextpad=0.2)


_SEEN: dict[str, Callable[[Sequence[SummaryModel]], str]] = {
    DIFFERENCE: _largest,
    BY_FORMAT: _fastest,
    BY_PARTICLES: _fastest,
    BY_BATCH: _fastest,
}
_DRAWINGS: dict[str, Callable[[Groups], Any]] = {
    DIFFERENCE: numerical_difference,
    BY_FORMAT: latency_by_format,
    BY_PARTICLES: latency_by_particles,
    BY_BATCH: throughput_by_batch,
}
