"""Where the weights lie in a compiled file, found by their values.

A compiler may lay a matrix out anew, block by block as its kernels read it, padded with zeros, and keep the original
beside it. A template is compiled with weights of which no two are equal (`weights.distinct_copy`), so that each word of
the file tells which word of which weight it is; filling moves the words of other weights to the same offsets.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelferry.core.errors import ArtifactError, UnsupportedOperatorError
from modelferry.formats.shared.weight_slots import raw_bytes

if TYPE_CHECKING:
    import torch

WORD = 4
"""Bytes that are moved together: a float32."""
IN_FLOAT32 = "export the network in float32 (`.float()`), or to torch_export or torchscript"
KEPT = -1
"""In place of a source: the word is not part of a weight."""


@dataclass(frozen=True)
class Constant:
    """A tensor of a compiled file: its name, which is empty if the compiler made it, and its bytes."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class WeightOffsets:
    """For each word of a file, the word of the weights, one after the other in a fixed order, that belongs there."""

    source: np.ndarray

    def fill(self, weights: Mapping[str, torch.Tensor], blob: bytes) -> bytes:
        """Return `blob` with the words of `weights` at their offsets."""
        words = np.frombuffer(blob, np.uint32).copy()
        given = _words(weights)
        taken = self.source != KEPT
        if len(words) != len(self.source) or self.source.max(initial=KEPT) >= len(given):
            raise ArtifactError("the template's weight file is not the one that it was compiled with", "build it again")
        words[taken] = given[self.source[taken]]
        return words.tobytes()

    def read(self, sizes: Mapping[str, int], blob: bytes) -> dict[str, bytes]:
        """Return the bytes of each weight in `blob`, given their numbers of bytes.

        Raises
        ------
        ArtifactError
            If a weight that lies there twice differs between the two.
        """
        words = np.frombuffer(blob, np.uint32)
        taken = np.flatnonzero(self.source != KEPT)
        words_of_weights = np.zeros(sum(-(-size // WORD) for size in sizes.values()), np.uint32)
        words_of_weights[self.source[taken]] = words[taken]
        odd = np.flatnonzero(words_of_weights[self.source[taken]] != words[taken])
        spans = _spans(sizes)
        if len(odd):
            name = next(n for n, (start, stop) in spans.items() if start <= self.source[taken[odd[0]]] < stop)
            raise ArtifactError(f"two copies of the weight '{name}' differ", "export it again")
        return {name: words_of_weights[start:stop].tobytes()[: sizes[name]] for name, (start, stop) in spans.items()}

    def dump(self) -> bytes:
        """Return the offsets as ASCII: differences, which repeat, compressed, in base 64.

        PyTorch's loaders decode every extra file of an archive as UTF-8.
        """
        return base64.b64encode(zlib.compress(np.diff(self.source, prepend=0).astype("<i4").tobytes(), 9))

    @classmethod
    def load(cls, data: bytes) -> WeightOffsets:
        """Return the offsets that `dump` wrote."""
        return cls(np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(data)), "<i4"), dtype=np.int64))


def find_offsets(blob: bytes, constants: Iterable[Constant], weights: Mapping[str, torch.Tensor]) -> WeightOffsets:
    """Return where `weights` lie in a file compiled with them; matrices of float32 may have another layout.

    Raises
    ------
    ArtifactError
        If the compiler did anything but copy, reorder and pad: folded, merged, rounded or lost a weight.
    """
    words, given = np.frombuffer(blob, np.uint32), _words(weights)
    spans = _spans({name: len(raw_bytes(tensor)) for name, tensor in weights.items()})
    singles = [np.arange(*spans[name]) for name, tensor in weights.items() if str(tensor.dtype) == "torch.float32"]
    known = np.concatenate([np.zeros(0, np.int64), *singles])
    known = known[np.argsort(given[known])]
    source = np.full(len(words), KEPT, np.int64)
    for constant in constants:
        part = slice(constant.start // WORD, -(-constant.stop // WORD))
        if constant.name:
            first, last = spans[constant.name]
            if not np.array_equal(words[part][: last - first], given[first:last]):
                raise ArtifactError(f"the compiler changed the weight '{constant.name}'", "report this architecture")
            source[part.start : part.start + last - first] = np.arange(first, last)
            continue
        values = words[part]
        if not len(known):
            raise UnsupportedOperatorError(
                "the compiler changes the layout of weights that are not of float32, which cannot be followed",
                IN_FLOAT32,
            )
        position = known[np.searchsorted(given[known], values).clip(max=len(known) - 1)]
        if not ((values == 0) | (given[position] == values)).all():
            raise ArtifactError("the compiler made something new of a weight", "report this architecture")
        source[part] = np.where(values == 0, KEPT, position)
    missing = np.setdiff1d(np.arange(len(given)), source)
    if len(missing):
        lost = [name for name, (start, stop) in spans.items() if ((missing >= start) & (missing < stop)).any()]
        raise ArtifactError(f"the compiler lost the weights {lost[:5]}", "report this architecture")
    return WeightOffsets(source)


def _words(weights: Mapping[str, torch.Tensor]) -> np.ndarray:
    padded = (data + bytes(-len(data) % WORD) for data in map(raw_bytes, weights.values()))
    return np.frombuffer(b"".join(padded), np.uint32)


def _spans(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the words of each weight, given their numbers of bytes, as first and one past the last."""
    ends = np.cumsum([0, *(-(-size // WORD) for size in sizes.values())]).tolist()
    return {name: (ends[i], ends[i + 1]) for i, name in enumerate(sizes)}
