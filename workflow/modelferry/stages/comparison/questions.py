"""What two sides are asked where there is no family: arrays of a file, or numbers that are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from modelferry.comparison.asking import Question
from modelferry.comparison.sizes import FLOATING, MOST_VALUES, all_pairs, resized, sizes_of
from modelferry.core.contract import Arrays, Tensor
from modelferry.core.errors import ArgumentError
from modelferry.families.questions import Asked, moved_by
from modelferry.stages.comparison.contracts import Range, batch_of

SEED = 1
COUNTING = ("int64", "int32")
"""Types of integers that may be indices."""
GIVEN, DRAWN = "given inputs", "drawn inputs"


def of_arrays(first: Asked, second: Asked, arrays: Arrays) -> Iterator[Question]:
    """Yield calls on arrays that were given, in pieces along their first axis if that counts events, and resized."""
    contract, batch = first.contract, batch_of(first.contract)
    sizes = {array.shape[0] for array in arrays.values() if array.ndim}
    number = 0
    if batch is None or len(sizes) != 1 or not all(array.ndim for array in arrays.values()):
        yield _arrays_question(GIVEN, first, second, arrays, None)
        pieces = [arrays]
    else:
        (total,) = sizes
        step = batch if isinstance(batch, int) else contract.dimension(batch).typical
        pieces = [{n: a[start : start + step] for n, a in arrays.items()} for start in range(0, total, step)]
        for piece in pieces:
            count = len(next(iter(piece.values())))
            if isinstance(batch, int) and count < batch:
                continue
            yield _arrays_question(GIVEN, first, second, piece, range(number, number + count))
            number += count
    yield from _at_sizes(first, second, pieces[0])


def drawn(first: Asked, second: Asked, ranges: Mapping[str, Range], count: int) -> Iterator[Question]:
    """Yield calls on numbers that are drawn: normal ones, or those of `ranges`, at the typical sizes and at all.

    Raises
    ------
    ArgumentError
        If nothing tells what integers an input takes.
    """
    contract, rng, number = first.contract, np.random.default_rng(SEED), 0
    batch = batch_of(contract)
    axes = [d for d in contract.dimensions if any(d.name in tensor.shape for tensor in contract.inputs)]
    example: Arrays = {}
    while number < count:
        sizes = {d.name: int(rng.integers(d.minimum, min(2 * d.typical, d.maximum) + 1)) for d in axes}
        sizes |= {d.name: d.typical for d in axes if d.name == batch or not example}
        example_now = {tensor.name: _drawn(tensor, sizes, ranges, rng) for tensor in contract.inputs}
        example = example or example_now
        rows = sizes.get(batch, batch) if isinstance(batch, str) else batch
        count_now = int(rows) if rows is not None else 1
        events = range(number, number + count_now) if rows is not None else None
        yield _arrays_question(DRAWN, first, second, example_now, events)
        number += max(count_now, 1)
    yield from _at_sizes(first, second, example)


def _at_sizes(first: Asked, second: Asked, example: Arrays) -> Iterator[Question]:
    """Yield calls at every pair of sizes that the contract allows, of events that have the numbers of the example's.

    There are none where integers may count along an axis that nothing tells: compiled code would read past its end.
    """
    contract, batch = first.contract, batch_of(first.contract)
    if any(tensor.dtype in COUNTING and tensor.below is None for tensor in contract.inputs):
        return
    present = contract.sizes(example)
    for sizes in all_pairs({name: sizes_of(contract.dimension(name)) for name in present}):
        inputs = resized(example, contract, sizes)
        if (
            sizes == present
            or sum(array.size for array in inputs.values()) > MOST_VALUES
            or not contract.allows(inputs)
        ):
            continue
        label = ", ".join(f"{name}={size}" for name, size in sizes.items())
        rows = sizes.get(batch) if isinstance(batch, str) else batch
        total = len(next(iter(example.values()))) if rows else 1
        events = None if rows is None else [row % total for row in range(rows)]
        yield _arrays_question(label, first, second, inputs, events)


def _arrays_question(label: str, first: Asked, second: Asked, inputs: Arrays, events: Sequence[int] | None) -> Question:
    def one(position: int) -> tuple[Arrays, Arrays]:
        row = {name: array[position : position + 1] for name, array in inputs.items()}
        return first.named(row), second.named(row)

    def moved(seed: int, size: float) -> Arrays:
        rng = np.random.default_rng(seed)
        return first.named({name: moved_by(array, rng, size) for name, array in inputs.items()})

    return Question(
        label=label,
        reference=first.named(inputs),
        other=second.named(inputs),
        events=tuple(events or ()),
        alone=one if events is not None else None,
        moved=moved,
    )


def _drawn(
    tensor: Tensor, sizes: Mapping[str, int], ranges: Mapping[str, Range], rng: np.random.Generator
) -> np.ndarray:
    shape = tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)
    if tensor.dtype == "bool":
        return rng.random(shape) < 0.5
    if tensor.dtype in FLOATING:
        values = rng.uniform(*ranges[tensor.name], shape) if tensor.name in ranges else rng.standard_normal(shape)
        return values.astype(np.float64 if tensor.dtype == "float64" else np.float32)
    if tensor.name in ranges:
        low, high = ranges[tensor.name]
    elif tensor.below is not None:
        below = tensor.below if isinstance(tensor.below, int) else sizes[tensor.below]
        low, high = 0, below - 1
    elif tensor.dtype == "uint8":
        low, high = 0, 255
    else:
        example = f"--range {tensor.name}=0,20"
        raise ArgumentError(f"nothing tells which integers '{tensor.name}' takes", f"give {example}, or --inputs FILE")
    return rng.integers(int(low), int(high) + 1, shape).astype(tensor.dtype)
