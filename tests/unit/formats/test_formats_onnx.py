import math
from pathlib import Path

import numpy as np
import torch

from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.formats.onnx import FORMAT


class Numbers(torch.nn.Module):
    """Every number here is one that float32 does not hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.where(x < 0, math.pi - x, x + math.e).clamp(min=0.1, max=710.4758600739439) / 3
        return y + x * 0.7 + 1 / x.abs().clamp(min=2.3e-308).sqrt()


def test_numbers_in_the_code_of_a_network_stay_float64(tmp_path: Path) -> None:
    events = Dimension(name="events", minimum=1, typical=4, maximum=8)
    x, y = (Tensor(name=name, dtype="float64", shape=("events",)) for name in "xy")
    contract = Contract(layout="rows", inputs=(x,), outputs=(y,), dimensions=(events,))
    values = np.array([-1.3, 0.2, 3.1, 900.0, 0.0])
    FORMAT.build_template(Numbers(), contract, {"x": values}, {}, tmp_path / "template.onnx")
    FORMAT.fill(tmp_path / "template.onnx", {}, {}, tmp_path / "model.onnx")
    (found,) = FORMAT.load(tmp_path / "model.onnx", 1)({"x": values}).values()
    np.testing.assert_allclose(found, Numbers()(torch.from_numpy(values)).numpy(), rtol=1e-15)
