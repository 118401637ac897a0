"""The tensors of a byte CNN: their names and shapes, and what is wrong with those of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from modelferry.checkpoints.reader import without_prefixes
from modelferry.checkpoints.shapes import Shapes
from modelferry.families.shared.checkpoint_names import renamed

Tensor = TypeVar("Tensor")

BYTES = 256
OTHER_NAMES = (
    (re.compile(r"conv1d_(\d)\."), r"conv\1."),
    (re.compile(r"fc1\."), "classifier."),
    (re.compile(r"fc2\."), "output."),
)
"""How other trainers name tensors, and how the reference does."""
NEEDS = {
    "embedding.weight": "(256, E)",
    "conv1.weight": "(F1, E, kernel)",
    "conv1.bias": "(F1), or none",
    "conv2.weight": "(F2, F1, kernel), or no second layer",
    "conv2.bias": "(F2), or none",
    "conv3.weight": "(F3, F2, kernel), or no third layer",
    "conv3.bias": "(F3), or none",
    **{
        f"bn{layer}.{entry}": f"(F{layer}), or no batch norm"
        for layer in (1, 2, 3)
        for entry in ("weight", "bias", "running_mean", "running_var")
    },
    "classifier.weight": "(D, F) or (D, 2 F), F of the last convolution; also called fc1",
    "classifier.bias": "(D)",
    "output.weight": "(1, D); also called fc2",
    "output.bias": "(1)",
}
"""The tensors of a byte CNN under the reference's names, with their shapes; counters of batch norms are ignored."""


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors, or their shapes, under the reference's names."""
    return {renamed(name, OTHER_NAMES): tensor for name, tensor in tensors.items()}


def mismatch_table(source: str, shapes: Shapes) -> str:
    """Return why a checkpoint is not a byte CNN's: a line, and the table of what it has and what is needed."""
    named = next((f for f in without_prefixes(shapes) if "embedding.weight" in f or "conv1.weight" in f), dict(shapes))
    given = reference_names(named)
    first = "; ".join(misfits(given)[:3])
    rows = [(name, _shape(given.get(name)), wanted) for name, wanted in NEEDS.items()]
    rows += [(name, _shape(shape), "no such tensor") for name, shape in given.items() if not _known(name)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {name:<{widths[0]}}  {was:<{widths[1]}}  {wanted}" for name, was, wanted in rows]
    header = f"  {'tensor':<{widths[0]}}  {'found':<{widths[1]}}  a byte CNN needs"
    return "\n".join([f"{source} is not a byte CNN: {first}", header, *lines])


def misfits(shapes: Shapes) -> list[str]:
    """Return what keeps shapes, under the reference's names, from being those of a byte CNN."""
    layers = number_of_layers(shapes)
    if "embedding.weight" not in shapes or not layers:
        return [f"no {'embedding.weight' if layers else 'conv1.weight'}"]
    classifier = shapes.get("classifier.weight", ())
    dense, width = classifier if len(classifier) == 2 else ("D", "F")
    wanted: dict[str, Sequence[int | str]] = {"embedding.weight": (BYTES, "E")}
    inputs: int | str = shapes["embedding.weight"][-1]
    for number in range(1, layers + 1):
        weight = shapes[f"conv{number}.weight"]
        channels = weight[0]
        wanted[f"conv{number}.weight"] = (channels, inputs, "K")
        if f"conv{number}.bias" in shapes:
            wanted[f"conv{number}.bias"] = (channels,)
        if any(name.startswith(f"bn{number}.") for name in shapes):
            entries = ("weight", "bias", "running_mean", "running_var")
            wanted |= {f"bn{number}.{entry}": (channels,) for entry in entries}
        inputs = channels
    wanted |= {"classifier.weight": ("D", width if width in (inputs, 2 * int(inputs)) else inputs)}
    wanted |= {"classifier.bias": (dense,), "output.weight": (1, dense), "output.bias": (1,)}
    problems = [f"no {name}" for name in wanted if name not in shapes]
    for name, shape in shapes.items():
        if name not in wanted:
            problems += [f"{name} is not expected"] if name in NEEDS or not _known(name) else []
        elif not _matches(shape, wanted[name]):
            problems.append(f"{name} is {shape} instead of ({', '.join(map(str, wanted[name]))})")
    return problems


def _known(name: str) -> bool:
    return name in NEEDS or re.fullmatch(r"bn[1-3]\.num_batches_tracked", name) is not None


def _shape(shape: tuple[int, ...] | None) -> str:
    return "–" if shape is None else " × ".join(map(str, shape)) or "one value"


def _matches(shape: tuple[int, ...], wanted: Sequence[int | str]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(w, str) or size == w for size, w in zip(shape, wanted, strict=True)
    )


def number_of_layers(shapes: Shapes) -> int:
    """Return the number of convolutions, counted from the first without a gap; at most three."""
    return next((n for n in range(3) if len(shapes.get(f"conv{n + 1}.weight", ())) != 3), 3)
