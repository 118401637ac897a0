"""How arrays reach PyTorch: in rows, however they lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelferry.core.contract import Contract, Tensor
from modelferry.core.tensors import to_array
from modelferry.formats.shared.runner import INPUT, on_tensors, outputs_of_modules


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 8, 8), (1, 3, 1, 8), (1, 1, 1, 1), (0, 3, 4, 4)], ids=str)
def test_compiled_code_gets_rows_whatever_the_layout(shape: tuple[int, ...]) -> None:
    """Of one channel, an image in channels-last counts as contiguous, and has the strides that mean channels-last."""
    image = Tensor(name="image", dtype="float32", shape=shape)
    contract = Contract(layout="images", inputs=(image,), outputs=(image,), dimensions=())
    seen: list[torch.Tensor] = []

    def call(tensors: list[torch.Tensor]) -> torch.Tensor:
        seen.extend(tensors)
        return tensors[0]

    given = torch.randn(shape).to(memory_format=torch.channels_last)
    returned = on_tensors(call, contract)({"image": given.numpy()})
    assert seen[0].stride() == torch.empty(shape).stride()
    assert np.array_equal(returned["image"], given.numpy())


def test_modules_of_a_bfloat16_network_show_their_outputs() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()).bfloat16()
    tensors = {n: Tensor(name=n, dtype="bfloat16", shape=(2, size)) for n, size in (("x", 3), ("y", 4))}
    contract = Contract(layout="table", inputs=(tensors["x"],), outputs=(tensors["y"],), dimensions=())
    x = torch.ones(2, 3, dtype=torch.bfloat16)
    found = outputs_of_modules(network, contract)({"x": to_array(x)})
    assert list(found) == [f"0{INPUT}", "0", f"1{INPUT}", "1", "network"]
    assert np.array_equal(found["network"].astype(np.float32), network(x).detach().float().numpy())
