"""Figures of a campaign's embeddings: projections, ROC curves, confusion, linear probes and what transfers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.records.embeddings import Exploration, ExploredModel, ProbeCurve, Projection
from modelferry.stages.report import style
from modelferry.stages.report.formatting import decimal
from modelferry.stages.report.grouping import EMBEDDINGS, page_stem

SHOWN = 2
"""Number of models side by side."""
CLASSES = 10
"""Number of classes drawn."""
PAIRS = 6
BACKGROUND = "#8c8c8c"
# Paul Tol, "muted", https://personal.sron.nl/~pault/: nine hues that colour-blind readers distinguish
MUTED = ("#332288", "#CC6677", "#117733", "#88CCEE", "#882255", "#44AA99", "#DDCC77", "#AA4499", "#999933")
TITLES: dict[str, str] = {
    "projections": "Embeddings of jets in two dimensions, by class",
    "roc": "Each class against the background",
    "confusion": "Best score by true class",
    "probes": "What a linear classifier reads off the embeddings, and what transfers",
}
Names = Mapping[str, str]


def draw(record: Exploration, names: Names, folder: Path) -> list[Path]:
    """Draw the figures of a campaign into `folder`; return those written. `names` are short ones of the models."""
    written = []
    with style.styled():
        for kind, drawing in _DRAWINGS.items():
            path = folder / figure_name(record.campaign, kind)
            style.save(drawing(record, names), path)
            written.append(path)
    return written


def figure_name(campaign: str, kind: str) -> str:
    """Return the file name of one of a campaign's figures."""
    return f"{EMBEDDINGS}{page_stem(campaign)}-{kind}.png"


def projections(record: Exploration, names: Names) -> Any:
    """Return PCA and t-SNE side by side, a row for each model."""
    models = record.models[:SHOWN]
    figure, axes = _grid(len(models), 2, 3.35)
    colours = class_colours(record)
    for row, model in zip(axes, models, strict=True):
        for axis, projection in zip(row, model.projections, strict=True):
            _scatter(axis, projection, record, colours)
            axis.set_title(f"{names[model.model]}: {projection.method}")
    _class_legend(figure, colours)
    return figure


def _scatter(axis: Any, projection: Projection, record: Exploration, colours: Mapping[str, str]) -> None:
    x, y, drawn = (np.array(values) for values in (projection.x, projection.y, record.drawn))
    order = np.random.default_rng(0).permutation(len(x))
    shown = [jet for jet in order if record.classes[drawn[jet]] in colours]
    axis.scatter(
        x[shown], y[shown], s=5, c=[colours[record.classes[drawn[jet]]] for jet in shown], alpha=0.65, linewidths=0
    )
    axis.set_xticks([])
    axis.set_yticks([])
    if projection.variance:
        first, second = (f"{share:.0%} of the variance" for share in projection.variance)
        axis.set_xlabel(first, fontsize=8)
        axis.set_ylabel(second, fontsize=8)
    if projection.method == "t-SNE":
        for name, colour in colours.items():
            of_class = drawn == record.classes.index(name)
            axis.annotate(
                name, (np.median(x[of_class]), np.median(y[of_class])), ha="center", va="center", fontsize=7.5,
                color=colour, fontweight="bold", path_effects=_halo(),
            )  # fmt: skip


def roc(record: Exploration, names: Names) -> Any:
    """Return background rejection against signal efficiency, as far as any background passes; a panel a model."""
    models = record.models[:SHOWN]
    figure, (axes,) = _grid(1, len(models), 3.6)
    colours = class_colours(record)
    for axis, model in zip(axes, models, strict=True):
        for curve in model.roc:
            if curve.name not in colours:
                continue
            signal, background = np.array(curve.signal), np.array(curve.background)
            measured = background * curve.jets[1] >= 1
            axis.plot(
                signal[measured], 1 / background[measured], color=colours[curve.name], linewidth=1.5,
                label=f"{curve.name}  {curve.auc:.3f}",
            )  # fmt: skip
        guess = np.linspace(0.3, 1, 50)
        axis.plot(guess, 1 / guess, ":", color=style.FAINT, linewidth=1)
        axis.set_yscale("log")
        axis.set_xlim(0, 1)
        axis.set_ylim(bottom=1)
        axis.set_xlabel("efficiency of the class")
        axis.grid()
        axis.set_title(names[model.model])
        legend = axis.legend(title="AUC", frameon=False, fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 0.08))
        legend.get_title().set_fontsize(7.5)
    axes[0].set_ylabel(f"rejection of {record.against}, 1/efficiency")
    tops = [axis.get_ylim()[1] for axis in axes]
    for axis in axes:
        axis.set_ylim(1, max(tops))
    return figure


def confusion(record: Exploration, names: Names) -> Any:
    """Return the share of each true class by best score, in per cent, a panel for each model."""
    models = record.models[:SHOWN]
    classes = record.classes[:CLASSES]
    figure, (axes,) = _grid(1, len(models), 3.9 if len(models) > 1 else 5.0)
    for axis, model in zip(axes, models, strict=True):
        table = np.array(model.confusion, float)
        share = (100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1))[:CLASSES, :CLASSES]
        axis.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="equal")
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.5:
                ink = "white" if value > 55 else style.INK
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=ink)
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=7.5)
        axis.set_yticks(range(len(classes)), classes if axis is axes[0] else [], fontsize=7.5)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_xlabel("class of the best score")
        axis.set_title(f"{names[model.model]}: {model.accuracy:.0%} right")
    axes[0].set_ylabel("true class [% of it]")
    return figure


def probes(record: Exploration, names: Names) -> Any:
    """Return the AUC of linear probes against the number of jets, and of probes that moved to another model."""
    pairs = record.comparisons[:PAIRS]
    figure, (axes,) = _grid(1, 2 if pairs else 1, 3.4)
    _probe_curves(axes[0], record, names)
    if pairs:
        _transfers(axes[1], record, names)
    return figure


def _probe_curves(axis: Any, record: Exploration, names: Names) -> None:
    models = record.models[: len(style.PALETTE)]
    for row, model in enumerate(models):
        label = f"embedding, {names[model.model]}" if len(models) > 1 else "embedding"
        _curve(axis, _probe_of(model, "embedding"), style.PALETTE[row], "-o", label)
    _curve(axis, _probe_of(models[0], "kinematics"), style.INK, "--s", "jet kinematics only")
    _curve(axis, _probe_of(models[0], "shuffled labels"), style.FAINT, ":^", "shuffled labels")
    axis.set_xscale("log")
    ticks = models[0].probes[0].jets
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.minorticks_off()
    axis.set_ylim(top=1.005)
    axis.grid(axis="y")
    axis.set_xlabel("jets that the probe learned from")
    axis.set_ylabel(f"AUC against {record.against}, mean over classes")
    axis.set_title("Linear probe on frozen embeddings")
    axis.legend(frameon=False, fontsize=7.5, loc="center right", bbox_to_anchor=(1, 0.38))


def _curve(axis: Any, curve: ProbeCurve, colour: str, look: str, label: str) -> None:
    middle, spread = np.array(curve.auc), np.array(curve.spread)
    axis.plot(curve.jets, middle, look, color=colour, markersize=3.5, linewidth=1.5, label=label)
    axis.fill_between(curve.jets, middle - spread, middle + spread, color=colour, alpha=0.15, linewidth=0)


def _transfers(axis: Any, record: Exploration, names: Names) -> None:
    pairs = record.comparisons[:PAIRS]
    for row, pair in enumerate(pairs):
        axis.plot([pair.transferred_auc, pair.first_auc], [row, row], color=style.FAINT, linewidth=1.2, zorder=1)
        axis.plot(pair.first_auc, row, "o", color=style.PALETTE[0], markersize=6)
        axis.plot(pair.transferred_auc, row, "D", color=style.PALETTE[1], markersize=5.5)
        low = min(pair.first_auc, pair.transferred_auc)
        axis.annotate(f"CKA {decimal(pair.cka, 2)}", (low, row), (0, 9), textcoords="offset points", fontsize=7.5)
    labels = [f"probe of {names[pair.first]}\non {names[pair.second]}" for pair in pairs]
    axis.set_yticks(range(len(pairs)), labels, fontsize=7.5)
    axis.set_ylim(len(pairs) - 0.5, -0.7)
    values = [v for pair in pairs for v in (pair.first_auc, pair.transferred_auc)]
    margin = max(0.01, 0.25 * (max(values) - min(values)))
    axis.set_xlim(min(values) - margin, min(1.0, max(values) + margin))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_xlabel(f"AUC against {record.against}, mean over classes")
    axis.set_title("Does a probe transfer?")
    from matplotlib.lines import Line2D

    looks = (
        ("on its own embedding", "o", style.PALETTE[0]),
        ("on the other's, mapped linearly", "D", style.PALETTE[1]),
    )
    handles = [Line2D([], [], linestyle="", marker=m, color=c, label=text, markersize=5) for text, m, c in looks]
    axis.legend(handles=handles, frameon=False, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.18))


def class_colours(record: Exploration) -> dict[str, str]:
    """Return a colour for each class that is drawn, the background in grey."""
    others = [name for name in record.classes if name != record.against][: CLASSES - 1]
    chosen = dict(zip(others, MUTED, strict=False))
    return {name: chosen.get(name, BACKGROUND) for name in record.classes if name in (*others, record.against)}


def _probe_of(model: ExploredModel, features: str) -> ProbeCurve:
    return next(curve for curve in model.probes if curve.features == features)


def _grid(rows: int, columns: int, height: float) -> tuple[Any, Sequence[Sequence[Any]]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(style.WIDTH, rows * height), dpi=style.DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def _class_legend(figure: Any, colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linestyle="", marker="o", color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8,
                  handletextpad=0.1, columnspacing=1.2)  # fmt: skip


def _halo() -> list[Any]:
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=2.5, foreground="white")]


_DRAWINGS: dict[str, Callable[[Exploration, Names], Any]] = {
    "projections": projections,
    "roc": roc,
    "confusion": confusion,
    "probes": probes,
}
