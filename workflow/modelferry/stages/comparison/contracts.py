"""What two sides both take: names paired, types and sizes that fit both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from modelferry.comparison.side import Declared, Side
from modelferry.core.contract import Contract, Dimension, DType, Tensor
from modelferry.core.errors import ArgumentError, did_you_mean

SMALLEST, TYPICAL, LARGEST = 1, 8, 64
"""Sizes of an axis that nobody gives a range of."""
KNOWN: tuple[DType, ...] = get_args(DType)


@dataclass(frozen=True)
class Shape:
    """What a caller says of an input: its sizes, numbers or names, and its dtype."""

    sizes: tuple[int | str, ...]
    dtype: str | None = None


Range = tuple[float, float]
"""Smallest and largest value of an input, or size of an axis."""


def paired(wanted: Sequence[str], side: Side, given: Mapping[str, str], of: str) -> tuple[dict[str, str], list[str]]:
    """Return the name that a side has for each of the `wanted` ones that it takes, and what was taken for granted.

    Names pair as `given`, else if they are equal, else, where a file tells no names or each has one input, by place.
    Inputs that a side does not take are left out.

    Raises
    ------
    ArgumentError
        If an input of the side pairs with none.
    """
    names = [tensor.name for tensor in side.inputs]
    pairs = {name: to for name, to in given.items() if name in wanted and to in names}
    pairs |= {name: name for name in wanted if name in names and name not in pairs and name not in pairs.values()}
    rest, others = [n for n in names if n not in pairs.values()], [n for n in wanted if n not in pairs]
    notes = []
    if rest and len(rest) == len(others) and (not side.named or len(names) == len(wanted) == 1):
        pairs |= dict(zip(others, rest, strict=True))
        said = ", ".join(f"'{name}' of {of}" for name in others)
        notes = [f"{side.called}: its inputs were taken to be, in order, {said}"]
        rest, others = [], []
    if rest:
        what = f"{side.called} takes {', '.join(names)}, and {of} {', '.join(wanted)}"
        raise ArgumentError(what, f"say which is which: --map {others[0] if others else 'NAME'}={rest[0]}")
    if others:
        notes.append(f"{side.called} does not take {', '.join(others)}")
    return {name: pairs[name] for name in wanted if name in pairs}, notes


def check_map(given: Mapping[str, str], first: Sequence[str], second: Sequence[str]) -> None:
    """Raise `ArgumentError` if `given` pairs a name that neither side has as an input or an output."""
    for name, to in given.items():
        for word, known in ((name, first), (to, second)):
            if known and word not in known:
                raise ArgumentError(f"--map {name}={to}: there is no '{word}'", did_you_mean(word, known))


def check_ranges(ranges: Mapping[str, Range], known: Sequence[str], what: str) -> None:
    """Raise `ArgumentError` for a range of something that is not known."""
    for name in ranges:
        if name not in known:
            raise ArgumentError(f"--range {name}: there is no such {what}", did_you_mean(name, known))


def restricted(contract: Contract, side: Side, names: Mapping[str, str], ranges: Mapping[str, Range]) -> Contract:
    """Return a contract with the sizes that a file fixes, or that `ranges` do, by the names of the contract.

    Raises
    ------
    ArgumentError
        If no size fits both.
    """
    known = {tensor.name: tensor for tensor in side.inputs}
    low = {d.name: d.minimum for d in contract.dimensions}
    high = {d.name: d.maximum for d in contract.dimensions}
    limits = {name: (minimum, maximum) for name, minimum, maximum in side.ranges}
    for tensor in contract.inputs:
        if tensor.name not in names or (shape := known[names[tensor.name]].shape) is None:
            continue
        if len(shape) != len(tensor.shape):
            what = f"{side.called}: '{names[tensor.name]}' has {len(shape)} axes, and '{tensor.name}' {tensor.shape}"
            raise ArgumentError(what, "say which is which with --map, or which --layout it takes")
        for size, wanted in zip(shape, tensor.shape, strict=True):
            if isinstance(wanted, int):
                if isinstance(size, int) and size != wanted:
                    what = f"{side.called}: '{names[tensor.name]}' is {_shown(shape)}, and not {_shown(tensor.shape)}"
                    raise ArgumentError(what, "no input fits both")
                continue
            least, most = limits.get(str(size), (0, 2**31)) if not isinstance(size, int) else (size, size)
            low[wanted], high[wanted] = max(low[wanted], least), min(high[wanted], most)
    for name, limit in ranges.items():
        if name in low:
            low[name], high[name] = max(low[name], int(limit[0])), min(high[name], int(limit[1]))
    dimensions = []
    for dimension in contract.dimensions:
        least, most = low[dimension.name], high[dimension.name]
        if least > most:
            what = f"{side.called} takes other sizes of '{dimension.name}' than the other one"
            raise ArgumentError(what, "no input fits both")
        typical = min(max(dimension.typical, least), most)
        dimensions.append(dimension.model_copy(update={"minimum": least, "maximum": most, "typical": typical}))
    return contract.model_copy(update={"dimensions": tuple(dimensions)})


def merged(
    sides: tuple[Side, Side], names: Mapping[str, str], shapes: Mapping[str, Shape], ranges: Mapping[str, Range]
) -> tuple[Contract, list[str]]:
    """Return what both take, under the names of the first, and what was taken for granted.

    Raises
    ------
    ArgumentError
        If the shape of an input is known from neither file nor `shapes`, or no size fits both.
    """
    first, second = sides
    theirs, notes = {tensor.name: tensor for tensor in second.inputs}, []
    inputs: list[Tensor] = []
    renamed: dict[str, str] = {}
    same: dict[str, str] = {}
    for own in first.inputs:
        other = theirs[names[own.name]] if own.name in names else Declared(own.name)
        given = shapes.get(own.name) or shapes.get(other.name)
        shape = given.sizes if given else own.shape if own.shape is not None else other.shape
        if shape is None:
            example = f"--shape {own.name}=events,9"
            raise ArgumentError(
                f"neither file tells the shape of '{own.name}'", f"give --inputs FILE.npz, or {example}"
            )
        dtype = (given.dtype if given else None) or own.dtype or other.dtype
        if dtype is None:
            dtype = "float32"
            notes.append(f"'{own.name}' was taken for float32; --shape {own.name}=SIZES:DTYPE says otherwise")
        if dtype not in KNOWN and dtype != "float16":
            raise ArgumentError(f"'{own.name}' is {dtype}, which cannot be made here", "compare other files")
        axes: tuple[int | str, ...] = tuple(
            size if isinstance(size, int) else str(size) if size else f"{own.name}_{axis}"
            for axis, size in enumerate(shape)
        )
        if own.shape is not None and other.shape is not None and not given:
            for axis, theirs_size in zip(axes, other.shape, strict=False):
                if isinstance(axis, str) and isinstance(theirs_size, str):
                    same.setdefault(theirs_size, axis)
                    renamed[axis] = same[theirs_size]
        kind: DType = next((known for known in KNOWN if known == dtype), "float32")
        inputs.append(Tensor(name=own.name, dtype=kind, shape=axes, below=_below(own.name, sides)))
    inputs = [t.model_copy(update={"shape": tuple(renamed.get(str(axis), axis) for axis in t.shape)}) for t in inputs]
    contract = Contract(
        layout="tensors",
        inputs=tuple(inputs),
        outputs=(),
        dimensions=tuple(_dimension(axis, sides, ranges) for axis in _axes(inputs)),
        scores="nothing",
    )
    own_names = {tensor.name: tensor.name for tensor in inputs}
    contract = restricted(contract, first, own_names, {})
    return restricted(contract, second, {n: to for n, to in names.items() if n in own_names}, ranges), notes


def batch_of(contract: Contract) -> int | str | None:
    """Return the axis that counts events: the first one of all inputs, if it is the same; else None."""
    firsts = {tensor.shape[0] if tensor.shape else None for tensor in contract.inputs}
    return firsts.pop() if len(firsts) == 1 else None


def _axes(inputs: Sequence[Tensor]) -> list[str]:
    return list(dict.fromkeys(axis for tensor in inputs for axis in tensor.shape if isinstance(axis, str)))


def _dimension(name: str, sides: tuple[Side, Side], ranges: Mapping[str, Range]) -> Dimension:
    """Return an axis with the range that was asked for, or that a contract has, or else the usual one."""
    known = [d for side in sides if side.contract for d in side.contract.dimensions if d.name == name]
    if known:
        return known[0]
    limits = [(low, high) for side in sides for axis, low, high in side.ranges if axis == name]
    low, high = limits[0] if limits else (SMALLEST, LARGEST)
    low, high = (max(low, SMALLEST), min(high, LARGEST)) if name not in ranges else map(int, ranges[name])
    return Dimension(name=name, minimum=low, typical=min(max(TYPICAL, low), high), maximum=high)


def _below(name: str, sides: tuple[Side, Side]) -> int | str | None:
    return next((t.below for side in sides if side.contract for t in side.contract.inputs if t.name == name), None)


def _shown(shape: Sequence[int | str | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
