"""Running a network on tensors by the contract's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from modelferry.contract import Arrays, Contract

if TYPE_CHECKING:
    from modelferry.formats import Runner


def on_tensors(call: Callable, contract: Contract) -> Runner:
    """Return a runner of `call`, which takes a list of tensors and returns one or several.

    The runner raises `ContractError` for inputs outside the contract: compiled code would read past their ends. Arrays
    may lie in memory as they like: compiled code takes for granted that they lie in rows, and does not look.
    """
    import torch

    names = [tensor.name for tensor in contract.inputs]

    def run(inputs: Arrays) -> Arrays:
        contract.check(inputs)
        with torch.inference_mode():
            result = call([torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names])
        values = result if isinstance(result, (tuple, list)) else (result,)
        return {tensor.name: np.asarray(value) for tensor, value in zip(contract.outputs, values, strict=True)}

    return run
