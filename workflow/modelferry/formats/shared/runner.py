"""Running a network on tensors by the contract's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from modelferry.comparison.eager import call_eagerly
from modelferry.core.contract import Arrays, Contract
from modelferry.core.nested_outputs import flat, named
from modelferry.core.tensors import to_array, to_tensor
from modelferry.formats import CheckedRunner

if TYPE_CHECKING:
    import torch

    from modelferry.formats import Function

INPUT = " < input"
"""Added to the name of a module for what goes into it."""
NETWORK = "network"
"""The name of the whole."""


def outputs_of_modules(network: torch.nn.Module, contract: Contract, dtype: torch.dtype | None = None) -> Function:
    """Return a function that computes the outputs of all modules of an eager network by name, in order of execution.

    What goes into a module is there as well, as ``name < input``, and the whole network's output as `network`; of a
    module that runs twice, the first time. With `dtype`, real inputs are converted to it.
    """
    import torch

    def run(inputs: Arrays) -> Arrays:
        outputs: Arrays = {}

        def keep(name: str, values: object) -> None:
            value = values[0] if isinstance(values, tuple) and values else values
            if isinstance(value, torch.Tensor):
                outputs.setdefault(name, to_array(value))

        def before(name: str, _: torch.nn.Module, given: object) -> None:
            keep(f"{name}{INPUT}", given)

        def after(name: str, _: torch.nn.Module, __: object, result: object) -> None:
            keep(name, result)

        hooks = []
        for name, module in network.named_modules():
            if name:
                hooks.append(module.register_forward_pre_hook(partial(before, name)))
            hooks.append(module.register_forward_hook(partial(after, name or NETWORK)))
        try:
            call_eagerly(network, [tensor.name for tensor in contract.inputs], inputs, dtype)
        finally:
            for hook in hooks:
                hook.remove()
        return outputs

    return run


def on_any_tensors(
    call: Callable, names: Sequence[str], dtype: torch.dtype | None = None, outputs: Sequence[str] | None = None
) -> Function:
    """Return a function of arrays that calls what takes tensors by position, whatever it returns; nothing is checked.

    With `dtype`, floating inputs are converted to it. `outputs` are the names of what it returns, by default its own.
    """
    import torch

    def run(inputs: Arrays) -> Arrays:
        tensors = [to_tensor(np.array(_in_rows(inputs[name]))) for name in names]
        with torch.inference_mode():
            result = call(*(t.to(dtype) if dtype is not None and t.is_floating_point() else t for t in tensors))
        values = named(result) if outputs is None else dict(zip(outputs, flat(result), strict=True))
        return {name: to_array(value) for name, value in values.items()}

    return run


def on_tensors(call: Callable, contract: Contract) -> CheckedRunner:
    """Return a runner of `call`, which takes a list of tensors and returns one or several.

    The runner raises `ContractError` for inputs outside the contract: compiled code would read past their ends. Arrays
    may lie in memory as they like: compiled code takes for granted that they lie in rows, and does not look.
    """
    import torch

    names, outputs = ([tensor.name for tensor in tensors] for tensors in (contract.inputs, contract.outputs))

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            values = flat(call([to_tensor(_in_rows(inputs[name])) for name in names]))
        return {name: to_array(value) for name, value in zip(outputs, values, strict=True)}

    return CheckedRunner(contract, run)


def _in_rows(array: np.ndarray) -> np.ndarray:
    """Return the array in rows, its strides too.

    Those of an axis of length 1 say nothing about memory, but PyTorch takes an image for channels-last by them.
    """
    rows = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    return rows if rows.ndim < 4 else rows.reshape(-1).reshape(rows.shape)
