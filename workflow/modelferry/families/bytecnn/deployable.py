"""The deployable byte CNN: a plain sequence of layers, so that writers of source code can read it off."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from modelferry.families.transforms import FOLD_BATCH_NORM, NONE
from modelferry.families.transforms.batch_norm import fold_into_previous

BYTES = 256


class ByteEmbedding(nn.Module):
    """The first `length` bytes of texts, padded with byte 0, each as a column of `width` numbers."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.weight = nn.Parameter(torch.randn(BYTES, width))

    def forward(self, text: Tensor) -> Tensor:
        """Return (B, width, length) for texts (B, bytes) uint8."""
        padded = nn.functional.pad(text.to(torch.int64), (0, self.length))[:, : self.length]
        return nn.functional.embedding(padded, self.weight).transpose(1, 2)


class Pool(nn.Module):
    """Mean and maximum of each channel over all positions, put together as `kind` says."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels), or twice as many channels for ``concat``, for (B, channels, positions)."""
        if self.kind == "mean":
            return x.mean(2)
        if self.kind == "max":
            return x.amax(2)
        if self.kind == "concat":
            return torch.cat([x.mean(2), x.amax(2)], dim=1)
        return 0.5 * (x.mean(2) + x.amax(2))


def layers(
    embedding: int,
    convolutions: Sequence[Sequence[int]],
    dense: int,
    max_len: int,
    pooling: str,
    eps: float,
    transforms: frozenset[str] = NONE,
) -> nn.Sequential:
    """Return the network; the names of its layers are those of the reference's."""
    made: OrderedDict[str, nn.Module] = OrderedDict(embedding=ByteEmbedding(max_len, embedding))
    widths = [embedding, *(channels for channels, _, _ in convolutions)]
    for index, (channels, kernel, norm) in enumerate(convolutions):
        made[f"conv{index + 1}"] = nn.Conv1d(widths[index], channels, kernel, padding=kernel // 2)
        if norm and FOLD_BATCH_NORM not in transforms:
            made[f"bn{index + 1}"] = nn.BatchNorm1d(channels, eps=eps)
        made[f"relu{index + 1}"] = nn.ReLU()
    made["pool"] = Pool(pooling)
    made["classifier"] = nn.Linear(widths[-1] * (1 + (pooling == "concat")), dense)
    made["relu"] = nn.ReLU()
    made["output"] = nn.Linear(dense, 1)
    made["sigmoid"] = nn.Sigmoid()
    return nn.Sequential(made)


def converted(state_dict: Mapping[str, Tensor], eps: float, transforms: frozenset[str]) -> dict[str, Tensor]:
    """Return the weights with each batch norm folded into its convolution, in float64, rounded once."""
    norms = [name.partition(".")[0] for name in state_dict if name.endswith(".running_var")]
    if FOLD_BATCH_NORM not in transforms or not norms:
        return dict(state_dict)
    dtype = state_dict["output.weight"].dtype
    state = {name: t.double() if t.is_floating_point() else t for name, t in state_dict.items()}
    for norm in norms:
        state = fold_into_previous(state, norm.replace("bn", "conv"), norm, eps)
    return {name: state[name].to(dtype) for name in state_dict if name in state}
