"""Contracts read off an example, and inputs of other sizes made from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from modelferry.api.example_inputs import at_least_two, contract_of, named_inputs
from modelferry.comparison.sizes import resized
from modelferry.core.contract import Dimension
from modelferry.core.errors import ArgumentError
from modelferry.core.tensors import to_array, to_tensor


class Net(nn.Module):
    """Outputs as long as the batch, twice as long, one shorter than the sequence, and of no size."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        weight = x if mask is None else x * mask
        return {"same": weight, "twice": torch.cat([x, x]), "shorter": x[:, 1:].sum(2), "total": x.sum()}


def test_sizes_of_outputs_follow_those_of_inputs() -> None:
    contract = contract_of(Net().eval(), torch.randn(3, 4, 2), {0: "batch", 1: "steps"})
    (given,) = contract.inputs
    assert given.shape == ("batch", "steps", 2)
    assert [tensor.shape for tensor in contract.outputs] == [
        ("batch", "steps", 2),
        ("twice_0", "steps", 2),
        ("batch", "shorter_1"),
        (),
    ]
    known = {dimension.name: dimension for dimension in contract.dimensions}
    assert (known["batch"].minimum, known["batch"].typical, known["batch"].maximum) == (1, 3, 1024)
    assert known["twice_0"].typical == 6
    assert known["twice_0"].description == "follows from the inputs"


def test_sizes_are_fixed_unless_named() -> None:
    contract = contract_of(Net().eval(), {"mask": torch.ones(3, 4, 2), "x": torch.randn(3, 4, 2)})
    assert [(tensor.name, tensor.shape) for tensor in contract.inputs] == [("x", (3, 4, 2)), ("mask", (3, 4, 2))]
    assert contract.dimensions == ()


def test_example_of_one_event_frees_the_batch_too() -> None:
    contract = contract_of(Net().eval(), torch.randn(1, 4, 2), {"x": {-3: "batch"}})
    assert contract.outputs[0].shape == ("batch", 4, 2)
    assert at_least_two({"x": np.zeros((1, 4, 2), np.float32)}, contract)["x"].shape == (2, 4, 2)


def test_ranges_of_a_dimension_are_kept() -> None:
    batch = Dimension(name="batch", minimum=2, typical=3, maximum=7)
    contract = contract_of(Net().eval(), torch.randn(7, 4, 2), {0: batch})
    assert contract.dimension("batch") == batch


def test_training_mode_and_named_inputs_out_of_order_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"call its `eval\(\)` first"):
        contract_of(Net().train(), torch.randn(3, 4, 2))
    with pytest.raises(ArgumentError, match="no example of 'x'"):
        named_inputs(Net(), {"mask": torch.ones(1)})


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_resized_inputs_have_their_sizes_and_repeat_the_example(b: int, s: int, batch: int, steps: int) -> None:
    contract = contract_of(Net().eval(), torch.randn(b, s, 2), {0: "batch", 1: "steps"})
    example = {"x": np.random.default_rng(0).normal(size=(b, s, 2)).astype(np.float32)}
    found = resized(example, contract, {"batch": batch, "steps": steps})["x"]
    assert found.shape == (batch, steps, 2)
    assert found.dtype == np.float32
    contract.check({"x": found})
    kept = min(b, batch), min(s, steps)
    np.testing.assert_array_equal(found[: kept[0], : kept[1]], example["x"][: kept[0], : kept[1]])
    rows = found.reshape(batch * steps, 2)
    assert len(np.unique(rows, axis=0)) == len(rows) or min(b, s) == 1 or batch * steps > b * s


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_come_back_bit_by_bit(dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 4) * 50).abs().to(dtype)
    assert to_array(tensor).dtype.name == str(dtype).removeprefix("torch.")
    assert torch.equal(to_tensor(to_array(tensor)), tensor)
    assert torch.equal(to_tensor(to_array(tensor.T.contiguous().T)), tensor)
