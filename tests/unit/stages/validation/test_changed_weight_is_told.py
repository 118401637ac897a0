"""The weight that a light validation changes: one that the network as trained shows."""

import numpy as np
import torch

from modelferry.stages.validation.faulty_networks import _with_changed_weight


def test_where_no_weight_matters_much_the_one_that_changes_most_is_taken() -> None:
    network = torch.nn.Linear(8, 1)
    with torch.no_grad():
        network.weight.copy_(torch.arange(8.0, 0, -1)[None])  # the largest weights see the smallest inputs
        network.bias.fill_(1e4)
    inputs = torch.arange(8.0)[None]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def outputs(changed: torch.nn.Module) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {"y": changed(inputs).numpy().copy()}

    sound = outputs(network)["y"]
    change = abs(_with_changed_weight(network, weights, outputs)["y"] - sound).item()
    assert 1.5 < change < 1.7  # 10 % of 4 × 4; the largest weight changes nothing, and the last one 0.7
