"""Between NumPy's arrays, which cross the package's borders, and PyTorch's tensors.

NumPy has no bfloat16 of its own; ml_dtypes, which onnx brings along, gives it one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Return a tensor on the array's memory."""
    import torch

    if array.dtype.kind == "V":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return an array on the memory of a tensor, if it lies on the CPU, else a copy."""
    import torch

    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        bits: np.ndarray = tensor.view(torch.int16).numpy(force=True)
        return bits.view(ml_dtypes.bfloat16)
    array: np.ndarray = tensor.numpy(force=True)
    return array
