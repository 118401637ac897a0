"""Weights are found in a compiled file by their values, copied, reordered or padded, and filled at the same offsets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelferry.core.errors import ArtifactError
from modelferry.formats.shared.weight_offsets import Constant, WeightOffsets, find_offsets
from modelferry.formats.shared.weight_slots import distinct_copy, raw_bytes

BLOCK = 8


def blocked(weight: torch.Tensor) -> torch.Tensor:
    """Return a matrix (outputs, inputs) as kernels read it: blocks of outputs, padded with zeros, one row an input."""
    outputs, inputs = weight.shape
    padded = nn.functional.pad(weight, (0, 0, 0, -outputs % BLOCK))
    return padded.view(-1, BLOCK, inputs).transpose(1, 2).contiguous()


def compiled(weights: dict[str, torch.Tensor]) -> tuple[bytes, list[Constant]]:
    """Return a file with every weight as it is, then every matrix in blocks."""
    blob, constants = b"", []
    packed = [("", blocked(tensor)) for tensor in weights.values() if tensor.dim() == 2]
    for name, tensor in (*weights.items(), *packed):
        data = raw_bytes(tensor)
        constants.append(Constant(name, len(blob), len(blob) + len(data)))
        blob += data.ljust(-(-len(data) // 64) * 64, b"\0")
    return blob, constants


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4), st.integers(0, 2**20))
def test_filled_file_is_the_one_compiled_with_those_weights(sizes: list[tuple[int, int]], seed: int) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(*(nn.Linear(*size) for size in sizes))
    blob, constants = compiled(distinct_copy(network).state_dict())
    offsets = WeightOffsets.load(find_offsets(blob, constants, distinct_copy(network).state_dict()).dump())
    trained = network.state_dict()
    expected = compiled(trained)[0]
    assert offsets.fill(trained, blob) == expected
    sizes_of = {name: len(raw_bytes(tensor)) for name, tensor in trained.items()}
    assert offsets.read(sizes_of, expected) == {name: raw_bytes(tensor) for name, tensor in trained.items()}


def test_copies_that_differ_are_named() -> None:
    network = distinct_copy(nn.Linear(3, 5))
    blob, constants = compiled(network.state_dict())
    offsets = find_offsets(blob, constants, network.state_dict())
    words = np.frombuffer(blob, np.uint32).copy()
    words[constants[-1].start // 4] ^= 1
    with pytest.raises(ArtifactError, match="'weight' differ"):
        offsets.read({"weight": 60, "bias": 20}, words.tobytes())


@pytest.mark.parametrize("change", [lambda w: w * 2, lambda w: w + w.roll(1, 0), torch.round])
def test_what_is_no_copy_is_refused(change) -> None:
    network = distinct_copy(nn.Linear(4, 4))
    blob, constants = compiled(network.state_dict())
    blob = blob[: constants[-1].start] + raw_bytes(change(blocked(network.weight)))
    with pytest.raises(ArtifactError, match="something new"):
        find_offsets(blob, constants, network.state_dict())


def test_no_two_weights_are_equal() -> None:
    network = distinct_copy(nn.Sequential(nn.Linear(500, 400), nn.BatchNorm1d(400), nn.Linear(400, 3).double()))
    values = torch.cat([t.double().flatten() for t in network.state_dict().values() if t.is_floating_point()])
    assert len(values.unique()) == len(values)
    assert 0.5 <= values.min() < values.max() < 2
