"""A contract from a network and an example of its inputs, and inputs of other sizes from that example."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from modelferry.comparison.eager import call_eagerly
from modelferry.comparison.sizes import resized
from modelferry.core.contract import Arrays, Contract, Dimension, DType, Tensor
from modelferry.core.errors import ArgumentError, ModelferryError, NetworkError, did_you_mean
from modelferry.core.tensors import to_array

if TYPE_CHECKING:
    import torch

    Inputs = torch.Tensor | np.ndarray | Sequence[torch.Tensor | np.ndarray] | Mapping[str, torch.Tensor | np.ndarray]
    """One tensor, tensors in the order of ``forward``, or tensors by the names of its parameters."""

Axes = Mapping[int, str | Dimension]
Dynamic = Mapping[str, Axes] | Axes
"""Free sizes: ``{"x": {0: "batch"}}`` by input, or ``{0: "batch"}`` for every input that has the axis.

A name alone stands for sizes from 1 to the larger of `LARGEST` and the example's.
"""
LARGEST = 1024
AS_DYNAMIC = 'give {0: "batch"}, or {"x": {0: "batch"}}: axes and their names'
DERIVED = "follows from the inputs"


def contract_of(
    network: torch.nn.Module, inputs: Inputs, dynamic: Dynamic | None = None, *, layout: str = "tensors"
) -> Contract:
    """Return what `network` takes and gives, read off a call on `inputs`.

    Parameters
    ----------
    network
        In evaluation mode; it is called, without gradients, once and once more for each free size.
    inputs
        An example: one tensor, tensors in the order of ``forward``, or tensors by the names of its parameters.
    dynamic
        The sizes that may differ from call to call; all others are those of the example.

    Raises
    ------
    ArgumentError
        If the example does not fit ``forward`` or `dynamic`, or the network is in training mode.
    NetworkError
        If an output is not a tensor, or a call changes what the next one gives.
    """
    if network.training:
        raise ArgumentError("the network is in training mode", "call its `eval()` first")
    example = named_inputs(network, inputs)
    axes = _free_axes(example, dynamic or {})
    dimensions = _dimensions(example, axes)
    contract = Contract(
        layout=layout,
        inputs=tuple(
            Tensor(
                name=name,
                dtype=_dtype(name, array),
                shape=tuple(_name(axes[name].get(axis, size)) for axis, size in enumerate(array.shape)),
            )
            for name, array in example.items()
        ),
        outputs=(),
        dimensions=dimensions,
        scores="nothing",
    )
    example = at_least_two(example, contract)
    sizes = contract.sizes(example)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    results = {"": _outputs(network, example)}
    for name in sizes:
        limits = contract.dimension(name)
        other = sizes[name] + (1 if sizes[name] < limits.maximum else -1)
        if limits.minimum <= other <= limits.maximum:
            results[name] = _outputs(network, resized(example, contract, {**sizes, name: other}))
    if changed := [name for name, buffer in network.named_buffers() if not _alike(buffer, buffers[name])]:
        raise NetworkError(f"the network changes its buffers when it runs: {', '.join(changed)}", "make it a function")
    outputs, derived = _outputs_of(results, sizes)
    return contract.model_copy(update={"outputs": outputs, "dimensions": (*dimensions, *derived)})


def named_inputs(network: torch.nn.Module, inputs: Inputs) -> Arrays:
    """Return copies of the inputs by the names of the parameters of ``forward``, in its order."""
    import torch

    parameters = list(inspect.signature(network.forward).parameters.values())
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    many = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    called = type(network).__name__
    if isinstance(inputs, Mapping):
        for name in inputs:
            if any(p.name == name and p.kind is p.KEYWORD_ONLY for p in parameters):
                reason = f"`forward` of {called} takes '{name}' by keyword only"
                raise ArgumentError(reason, "let it take tensors by position: runtimes know no keywords")
            if name not in names:
                raise ArgumentError(f"`forward` of {called} has no parameter '{name}'", did_you_mean(str(name), names))
        given: dict[str, Any] = {name: inputs[name] for name in names if name in inputs}
        if list(given) != names[: len(given)]:
            skipped = next(name for name, wanted in zip(names, given, strict=False) if name != wanted)
            raise ArgumentError(
                f"no example of '{skipped}' of `forward` of {called}", "give one, or move it to the end"
            )
    else:
        if not isinstance(inputs, Iterable):
            raise ArgumentError(f"the example inputs are a {type(inputs).__name__}", "give a tensor, or several")
        values = [inputs] if isinstance(inputs, torch.Tensor | np.ndarray) else list(inputs)
        if many:
            names += [f"input_{index}" for index in range(len(names), len(values))]
        if len(values) > len(names):
            raise ArgumentError(f"{len(values)} example inputs for `forward` of {called}", f"it takes {len(names)}")
        given = dict(zip(names, values, strict=False))
    required = [p.name for p in parameters if p.name in names and p.default is p.empty]
    if missing := [name for name in required if name not in given]:
        raise ArgumentError(f"no example of '{missing[0]}' of `forward` of {called}", "give a tensor for it")
    for name, value in given.items():
        if not isinstance(value, torch.Tensor | np.ndarray):
            remedy = "give a tensor, or wrap the network in a module whose `forward` takes tensors only"
            raise ArgumentError(f"the example of '{name}' is a {type(value).__name__}", remedy)
    return {
        name: np.array(to_array(value) if isinstance(value, torch.Tensor) else value) for name, value in given.items()
    }


def at_least_two(example: Arrays, contract: Contract) -> Arrays:
    """Return the example with every free size at least 2 where the contract allows: exporters take 1 for a constant."""
    sizes = contract.sizes(example)
    return resized(
        example, contract, {n: max(size, min(2, contract.dimension(n).maximum)) for n, size in sizes.items()}
    )


def _free_axes(example: Arrays, dynamic: Dynamic) -> dict[str, dict[int, str | Dimension]]:
    """Return the free axes of each input, counted from the front."""
    if not isinstance(dynamic, Mapping):
        raise ArgumentError(f"`dynamic` is a {type(dynamic).__name__}", AS_DYNAMIC)
    if not all(isinstance(key, str) for key in dynamic):
        wanted: dict[str, Any] = {name: dict(dynamic) for name in example}
        shared = True
    else:
        wanted, shared = {name: {} for name in example} | {str(key): value for key, value in dynamic.items()}, False
    for name, axes in wanted.items():
        if name not in example:
            raise ArgumentError(f"`dynamic` names '{name}', which is not an input", did_you_mean(name, example))
        if not isinstance(axes, Mapping) or not all(isinstance(axis, int) for axis in axes):
            raise ArgumentError(f"`dynamic` has {axes!r} for '{name}'", AS_DYNAMIC)
        for size in axes.values():
            if not isinstance(size, str | Dimension) or size == "":
                raise ArgumentError(f"`dynamic` calls a size of '{name}' {size!r}", AS_DYNAMIC)
    axes_of: dict[str, dict[int, str | Dimension]] = {}
    for name, axes in wanted.items():
        ndim = example[name].ndim
        axes_of[name] = {axis % ndim: size for axis, size in axes.items() if ndim and -ndim <= axis < ndim}
        if not shared and len(axes_of[name]) != len(axes):
            raise ArgumentError(f"`dynamic` has axes {list(axes)} for '{name}'", f"it has {ndim}, counted from 0")
    return axes_of


def _dimensions(example: Arrays, axes: Mapping[str, Mapping[int, str | Dimension]]) -> tuple[Dimension, ...]:
    dimensions: dict[str, Dimension] = {}
    sizes: dict[str, int] = {}
    for name, free in axes.items():
        for axis, given in free.items():
            size = example[name].shape[axis]
            dimension = given if isinstance(given, Dimension) else dimensions.get(given)
            if dimension is None:
                dimension = Dimension(name=_name(given), minimum=1, typical=size, maximum=max(LARGEST, size))
            if dimensions.setdefault(dimension.name, dimension) != dimension:
                raise ArgumentError(f"`dynamic` gives two ranges for '{dimension.name}'", "give one, or two names")
            if not dimension.minimum <= size <= dimension.maximum:
                allowed = f"allowed: {dimension.minimum} to {dimension.maximum}"
                raise ArgumentError(f"the example's '{dimension.name}' is {size}", allowed)
            if sizes.setdefault(dimension.name, size) != size:
                both = f"{sizes[dimension.name]} and {size}"
                raise ArgumentError(f"the example has '{dimension.name}' = {both}", "call different sizes differently")
    return tuple(dimensions.values())


def _outputs_of(
    results: Mapping[str, Arrays], sizes: Mapping[str, int]
) -> tuple[tuple[Tensor, ...], tuple[Dimension, ...]]:
    """Return the outputs, and the dimensions of those axes that change with the inputs' sizes without being equal.

    `results` are the outputs on the example, under the empty name, and with one size changed, under its name.
    """
    outputs, derived = [], []
    first = results[""]
    for output, array in first.items():
        shape: list[int | str] = list(array.shape)
        for axis, size in enumerate(array.shape):
            changed = {name: result[output].shape[axis] for name, result in results.items() if name}
            moving = [name for name, other in changed.items() if other != size]
            if not moving:
                continue
            (name, *others) = moving
            if not others and sizes[name] == size and abs(changed[name] - size) == 1:
                shape[axis] = name
            else:
                shape[axis] = f"{output}_{axis}"
                limits = {"minimum": 0, "typical": size, "maximum": 2**31 - 1}
                derived.append(Dimension(name=f"{output}_{axis}", **limits, description=DERIVED))
        outputs.append(Tensor(name=output, dtype=_dtype(output, array), shape=tuple(shape)))
    return tuple(outputs), tuple(derived)


def _outputs(network: torch.nn.Module, inputs: Arrays) -> Arrays:
    try:
        return call_eagerly(network, list(inputs), inputs)
    except ModelferryError:
        raise
    except Exception as error:  # a network may fail in any way
        given = ", ".join(f"'{name}' of {array.dtype}, {list(array.shape)}" for name, array in inputs.items())
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        remedy = "give an example of the dtypes and sizes that `forward` takes, and fix sizes that are not free"
        raise ArgumentError(f"the network fails on inputs {given}: {said}", remedy) from error


def _alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    import torch

    return bool(torch.equal(first.nan_to_num(), second.nan_to_num()))


def _name(size: int | str | Dimension) -> Any:
    return size.name if isinstance(size, Dimension) else size


def _dtype(name: str, array: np.ndarray) -> DType:
    known: tuple[DType, ...] = get_args(DType)
    if array.dtype.name not in known:
        raise ArgumentError(
            f"'{name}' is {array.dtype.name}, which contracts do not know", f"known: {', '.join(known)}"
        )
    dtype: DType = array.dtype.name
    return dtype
