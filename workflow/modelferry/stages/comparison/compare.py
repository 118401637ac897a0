"""Comparison of any two: files of any format and of anyone, checkpoints, networks in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.comparison.agreement import compare_sides
from modelferry.comparison.asking import Question
from modelferry.comparison.output_agreement import Rule
from modelferry.comparison.result import Comparison
from modelferry.comparison.side import Side
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArgumentError, did_you_mean
from modelferry.core.tensors import to_array
from modelferry.core.tolerances import Tolerance, loosest
from modelferry.families import Family, load_family
from modelferry.families.questions import Asked, of_family
from modelferry.families.shared.npz_file import NPZ, read_npz
from modelferry.stages.comparison.contracts import Range, Shape, check_map, check_ranges, merged, paired, restricted
from modelferry.stages.comparison.questions import drawn, of_arrays
from modelferry.stages.comparison.sides import Opened, open_side

if TYPE_CHECKING:
    import torch

    from modelferry.families.trained import TrainedModel

    Comparable = Path | str | torch.nn.Module | TrainedModel | Any
    """Anything else is an artifact: it has a `path`, a `format`, a `contract`, and `run`."""

EVENTS = 500
"""Ordinary events that are compared if none are given."""


@dataclass(frozen=True)
class _Wishes:
    """What a caller says of the inputs."""

    family: str | None
    hyperparameters: Mapping[str, Any]
    layout: str | None
    inputs: Any
    names: Mapping[str, str]
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    events: int = EVENTS

    @property
    def source(self) -> str:
        """What errors call the inputs."""
        return str(self.inputs) if isinstance(self.inputs, str | Path) else "`inputs`"


def compare(
    first: Comparable,
    second: Comparable,
    *,
    inputs: Path | str | Mapping[str, Any] | None = None,
    family: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    layout: str | None = None,
    names: Mapping[str, str] | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    ranges: Mapping[str, Range] | None = None,
    events: int = EVENTS,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Compare two functions, whoever wrote them; the result is true if they are the same.

    Parameters
    ----------
    first, second
        A path of a file in a format that is known or of a checkpoint, a network, the import path of one or of what
        makes one (``package.module:Name``), an artifact, or what `load_checkpoint` returned.
    inputs
        A path of an ``.npz``, or arrays or tensors by the names of the first one's inputs; or a path of events that the
        family reads. By default, synthetic events of the family, or numbers that are drawn.
    family, hyperparameters
        Of a checkpoint; or of two files, whose events are then that family's.
    layout
        The family's layout that a file of others takes, if its names do not tell.
    names
        Which input or output of the second belongs to one of the first, where names differ.
    shapes
        Sizes of an input that no file tells, numbers or names, and its dtype unless it is float32:
        ``{"x": ("events", 9), "index": ("nodes:int64",)}``.
    ranges
        Smallest and largest value of an input or size of a named axis: ``{"x": (0, 200), "particles": (2, 40)}``.
    events
        Number of ordinary events.
    rtol, atol
        Outputs agree where ``|second - first| <= atol + rtol * |first|``. If neither is given, errors
        against float64 decide, or the tolerance of their type where these are not known.

    Raises
    ------
    ArgumentError
        If the two have no inputs in common, or more must be said of them.
    ArtifactError, CheckpointError
        If one of them does not load.
    NetworkError
        If one of them gives other outputs for the same inputs.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        opened = open_side(first, family, hyperparameters), open_side(second, family, hyperparameters)
        known = {name: _shape(sizes) for name, sizes in (shapes or {}).items()}
        given = hyperparameters or {}
        wishes = _Wishes(family, given, layout, inputs, dict(names or {}), known, dict(ranges or {}), events)
        return _compared(*opened, wishes, _tolerance(rtol, atol))
    finally:
        torch.set_num_threads(threads)


def _shape(sizes: Sequence[int | str]) -> Shape:
    """Return sizes, and the dtype behind the last one's colon, ``("nodes:int64",)``."""
    *first, last = sizes
    size, _, dtype = str(last).partition(":")
    return Shape((*first, int(size) if size.isdigit() else size), dtype or None)


def _tolerance(rtol: float | None, atol: float | None) -> Tolerance | None:
    asked = {name: value for name, value in (("rtol", rtol), ("atol", atol)) if value is not None}
    return Tolerance(**asked) if asked else None


def _compared(first: Opened, second: Opened, wishes: _Wishes, tolerance: Tolerance | None) -> Comparison:
    swapped = _rank(second) < _rank(first)
    reference, other = (second, first) if swapped else (first, second)
    names = {to: name for name, to in wishes.names.items()} if swapped else dict(wishes.names)
    _check_names(wishes.names, first.side, second.side)
    family, hyperparameters = _family(reference, other, wishes)
    if family is None:
        questions, notes = _asked_of_arrays(reference.side, other.side, names, wishes)
    else:
        questions, notes = _asked_of_family(family, hyperparameters, reference, other, names, wishes)
    rule = Rule(
        usual=partial(loosest, [name for name in (first.format, second.format) if name]),
        asked=tolerance,
        special=() if family is None else tuple(family.special(0)),
        outputs=names,
    )
    compared = compare_sides(reference.side, other.side, questions, rule)
    roles = f"the reference is {reference.side.called}, and the other {other.side.called}"
    models = [opened.model for opened in (reference, other) if opened.model is not None]
    said = [f"{model.path}: family {model.family.name}; {model.note}".rstrip("; ") for model in models]
    return compared.replaced(notes=(roles, *said, *notes, *compared.notes))


def _rank(opened: Opened) -> tuple[int, bool]:
    """Return how good a reference a side is: a checkpoint, a network, a file that computes in float64, any other.

    Of two that are alike, one that tells the names of its inputs goes first.
    """
    kind = 0 if opened.model is not None else 1 if opened.side.eager else 2 if opened.side.double is not None else 3
    return kind, not opened.side.named


def _check_names(given: Mapping[str, str], first: Side, second: Side) -> None:
    """Refuse names that are no inputs, where outputs are known too."""
    known = [
        [] if side.outputs is None else [*(tensor.name for tensor in side.inputs), *side.outputs]
        for side in (first, second)
    ]
    check_map(given, *known)


def _family(reference: Opened, other: Opened, wishes: _Wishes) -> tuple[Family | None, Mapping[str, Any]]:
    """Return the family whose events are asked: that of a checkpoint, or the one that was named."""
    for opened in (reference, other):
        if opened.model is not None:
            return opened.model.family, opened.model.hyperparameters
    if wishes.family is None:
        for option, value in (("--layout", wishes.layout), ("--set", wishes.hyperparameters)):
            if value:
                raise ArgumentError(f"{option} is of a family, and neither side is a checkpoint", "name the --family")
        return None, {}
    family = load_family(wishes.family)
    resolved = family.resolve(wishes.hyperparameters, {})
    return family.configured(resolved), resolved


def _asked_of_family(
    family: Family,
    hyperparameters: Mapping[str, Any],
    reference: Opened,
    other: Opened,
    names: Mapping[str, str],
    wishes: _Wishes,
) -> tuple[Iterable[Question], list[str]]:
    sides, notes = [], []
    back = {to: name for name, to in names.items()}
    for opened, mapping in ((reference, back), (other, names)):
        layout = _layout(family, hyperparameters, opened, mapping, wishes.layout)
        contract = family.contract(hyperparameters, layout)
        wanted = [tensor.name for tensor in contract.inputs]
        pairs, said = paired(wanted, opened.side, mapping, f"layout {layout} of family {family.name}")
        if opened.side.contract is not None and set(pairs.values()) == set(wanted):
            contract = contract.model_copy(update={"dimensions": opened.side.contract.dimensions})
        contract = restricted(contract, opened.side, pairs, wishes.ranges)
        sides.append(Asked(contract, pairs, opened.side))
        notes += said
    first, second = sides
    axes = {axis for asked in sides for tensor in asked.contract.inputs for axis in tensor.shape}
    check_ranges(wishes.ranges, sorted(axis for axis in axes if isinstance(axis, str)), "axis")
    if wishes.inputs is None:
        note = f"{wishes.events} synthetic {family.batch}, and others at every size; --inputs FILE gives real ones"
        return of_family(family, first, second, (), "synthetic", wishes.events), [*notes, note]
    arrays = _arrays(wishes.inputs)
    if arrays is not None and {tensor.name for tensor in first.contract.inputs} <= set(arrays):
        if first.contract.layout != second.contract.layout:
            what = f"{wishes.source} holds inputs of layout {first.contract.layout}"
            remedy = f"{second.side.called} takes {second.contract.layout}: give events that the family reads"
            raise ArgumentError(what, remedy)
        given = {tensor.name: arrays[tensor.name] for tensor in first.contract.inputs}
        return of_arrays(first, second, given), notes
    files = [Path(str(wishes.inputs))]
    found = family.read_events(files, hyperparameters, wishes.events)
    return of_family(family, first, second, found.events, found.source, len(found)), notes


def _layout(
    family: Family, hyperparameters: Mapping[str, Any], opened: Opened, names: Mapping[str, str], wanted: str | None
) -> str:
    """Return the layout that a side takes: its own, the one that was asked for, or the one whose names it has."""
    if opened.model is not None:
        return family.reference_layout
    if opened.side.contract is not None and opened.side.contract.layout in family.layouts:
        return opened.side.contract.layout
    if wanted is not None:
        return family.layout(wanted)
    own = {tensor.name for tensor in opened.side.inputs} - set(names.values())
    layouts = {name: family.contract(hyperparameters, name).inputs for name in family.layouts}
    for fits in (lambda known: own == known, lambda known: own <= known):
        for name, tensors in layouts.items():
            if opened.side.named and fits({tensor.name for tensor in tensors} - set(names)):
                return name
    alike = [name for name, tensors in layouts.items() if len(tensors) == len(opened.side.inputs)]
    if len(alike) == 1 or len(layouts) == 1:
        return (alike or list(layouts))[0]
    takes = ", ".join(tensor.name for tensor in opened.side.inputs)
    raise ArgumentError(f"{opened.side.called} takes {takes}", f"say which --layout that is: {', '.join(layouts)}")


def _asked_of_arrays(
    reference: Side, other: Side, names: Mapping[str, str], wishes: _Wishes
) -> tuple[Iterable[Question], list[str]]:
    arrays = None if wishes.inputs is None else _arrays(wishes.inputs)
    if wishes.inputs is not None and arrays is None:
        raise ArgumentError(f"{wishes.source} is not an .npz file", "give one, or the --family that reads these events")
    pairs, notes = paired([tensor.name for tensor in reference.inputs], other, names, reference.called)
    shapes = dict(wishes.shapes)
    for name in shapes:
        inputs = sorted({*pairs.values(), *(tensor.name for tensor in reference.inputs)})
        if name not in inputs:
            raise ArgumentError(f"--shape {name}: there is no such input", did_you_mean(name, inputs))
    given: Arrays = {}
    for tensor in reference.inputs if arrays is not None else ():
        assert arrays is not None
        own = tensor.name if tensor.name in arrays else pairs.get(tensor.name, tensor.name)
        if own not in arrays:
            near = did_you_mean(own, arrays)
            raise ArgumentError(f"{wishes.source} has no array '{own}'", f"{near}; rename it to that of the input")
        given[tensor.name] = arrays[own]
        if tensor.shape is None and not _shape_of(other, pairs.get(tensor.name)):
            rest = arrays[own].shape[1:]
            sizes: tuple[int | str, ...] = ("events", *rest) if arrays[own].ndim else rest
            shapes.setdefault(tensor.name, Shape(sizes, arrays[own].dtype.name))
    contract, said = merged((reference, other), pairs, shapes, wishes.ranges)
    known = [*(d.name for d in contract.dimensions), *(tensor.name for tensor in contract.inputs)]
    check_ranges(wishes.ranges, known, "input or axis")
    first = Asked(contract, {tensor.name: tensor.name for tensor in reference.inputs}, reference)
    second = Asked(contract, pairs, other)
    if given:
        return of_arrays(first, second, _checked(given, contract, wishes.source)), [*notes, *said]
    plain = [t.name for t in contract.inputs if t.name not in wishes.ranges and t.dtype in ("float32", "float64")]
    if plain:
        said.append(f"{', '.join(plain)}: normal numbers were drawn; --inputs FILE.npz or --range NAME=LOW,HIGH if not")
    return drawn(first, second, wishes.ranges, wishes.events), [*notes, *said]


def _shape_of(side: Side, name: str | None) -> bool:
    return any(tensor.name == name and tensor.shape is not None for tensor in side.inputs)


def _checked(arrays: Arrays, contract: Contract, source: str) -> Arrays:
    """Return the arrays in the types of a contract; raise `ArgumentError` for one that has another shape."""
    fitting = {}
    for tensor in contract.inputs:
        array = arrays[tensor.name]
        fixed = [(a, b) for a, b in zip(array.shape, tensor.shape, strict=False) if isinstance(b, int)]
        rest = fixed[1:] if isinstance(tensor.shape[:1] and tensor.shape[0], int) else fixed
        if array.ndim != len(tensor.shape) or any(a != b for a, b in rest):
            what = f"{source}: '{tensor.name}' has shape {list(array.shape)}"
            raise ArgumentError(what, f"expected {list(tensor.shape)}")
        fitting[tensor.name] = array.astype(tensor.dtype) if tensor.dtype != "bfloat16" else array
    return fitting


def _arrays(inputs: Any) -> Arrays | None:
    """Return arrays by name; None for a file that holds none."""
    if isinstance(inputs, Mapping):
        return {name: to_array(v) if hasattr(v, "detach") else np.asarray(v) for name, v in inputs.items()}
    path = Path(inputs)
    return read_npz(path) if path.suffix == NPZ else None
