"""The one eager evaluation: every path that uses it takes networks of every type, bfloat16 included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

from modelferry.comparison.difference import by_event, within
from modelferry.comparison.eager import call_eagerly, run_eagerly
from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.core.tensors import to_array
from modelferry.core.tolerances import Tolerance


def contract(dtype: str) -> Contract:
    return Contract(
        layout="table",
        inputs=(Tensor(name="x", dtype=dtype, shape=("events", 5)),),
        outputs=(Tensor(name="y", dtype=dtype, shape=("events", 3)),),
        dimensions=(Dimension(name="events", minimum=1, typical=4, maximum=9),),
    )


def network(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_rows_are_what_the_network_gives_in_every_type(dtype: torch.dtype) -> None:
    net = network(dtype)
    calls = [torch.randn(size, 5).to(dtype) for size in (1, 4)]
    rows = run_eagerly(net, contract(str(dtype)[6:]), [{"x": to_array(call)} for call in calls], dtype)["y"]
    wanted = torch.cat([net(call) for call in calls]).detach().double().numpy()
    assert np.array_equal(rows.astype(np.float64), wanted)


def test_rows_of_bfloat16_can_be_compared_and_saved(tmp_path) -> None:
    values = np.linspace(-1, 1, 12).astype(ml_dtypes.bfloat16).reshape(2, 3, 2)
    rows = by_event(values)
    assert (rows.dtype, rows.shape) == (np.float32, (2, 6))
    assert within(rows, values.reshape(2, 6), Tolerance(rtol=0, atol=0)).all()
    np.savez(tmp_path / "rows.npz", rows=rows)
    assert np.array_equal(np.load(tmp_path / "rows.npz")["rows"], rows)


def test_floating_inputs_are_converted_and_integers_stay() -> None:
    class Embeds(nn.Module):
        def forward(self, x: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
            assert (x.dtype, index.dtype) == (torch.float64, torch.int64)
            return {"twice": 2 * x[index]}

    inputs = {"index": np.array([1]), "x": np.array([1.0, 3.0], np.float32)}
    found = call_eagerly(Embeds(), ["x", "index"], inputs, torch.float64)
    assert found["twice"].tolist() == [6]
    assert list(call_eagerly(Embeds(), ["x", "index"], inputs, torch.float64, ["y"])) == ["y"]
