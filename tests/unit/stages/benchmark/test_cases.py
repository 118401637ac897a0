"""What is timed: the eager reference runs in the type that it was trained in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from modelferry.stages.benchmark.cases import EAGER, Subject, load_subject


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_eager_reference_runs_in_its_own_type(dtype: torch.dtype) -> None:
    network = torch.nn.Linear(3, 2).to(dtype)
    tensors = {"inputs": [SimpleNamespace(name="x")], "outputs": [SimpleNamespace(name="y")]}
    family: Any = SimpleNamespace(
        reference=lambda hyperparameters: torch.nn.Linear(3, 2).to(dtype),
        load_weights=lambda path, hyperparameters: network.state_dict(),
        contract=lambda hyperparameters, layout: SimpleNamespace(**tensors),
        reference_layout="table",
    )
    planned: Any = SimpleNamespace(hyperparameters={}, model=SimpleNamespace(checkpoint="model.pt"))
    x = np.ones((4, 3), ml_dtypes.bfloat16 if dtype == torch.bfloat16 else np.float32)
    found = load_subject(planned, family, Subject(EAGER, "pytorch", "table"), 1)({"x": x})
    wanted = network(torch.ones(4, 3, dtype=dtype)).detach().float().numpy()
    assert np.array_equal(found["y"].astype(np.float32), wanted)
