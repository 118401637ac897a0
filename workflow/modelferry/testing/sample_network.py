"""A small network with the traits that exporters stumble over, its contract, weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from modelferry.core.contract import Arrays, Contract
from modelferry.families import load_family
from modelferry.families.charged_higgs_particlenet.flat import mean_by, nearest

FAMILY = load_family("charged_higgs_particlenet")
CONTRACT: Contract = FAMILY.contract({"hidden": 8}, "flat")
FEATURES, CLASSES, HIDDEN, NEIGHBOURS = 9, 4, 8, 4


@dataclass(frozen=True)
class Sample:
    """A network to try a format on.

    Attributes
    ----------
    network
        Makes it, with any weights.
    calls
        Inputs within the contract by what is special about them; the first is the example of a template.
    """

    network: Callable[[], nn.Module]
    contract: Contract
    calls: Mapping[str, Arrays]

    @property
    def example(self) -> Arrays:
        """Inputs of one call."""
        return next(iter(self.calls.values()))

    def weights(self, seed: int) -> dict[str, Tensor]:
        """Return weights all of which are random: also biases, single numbers, statistics, counters; integers turn."""
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for name, tensor in self.network().state_dict().items():
            if tensor.is_floating_point():
                positive = name.endswith("running_var")
                noise = torch.rand if positive else torch.randn
                values = noise(tensor.shape, generator=generator, dtype=tensor.dtype)
                weights[name] = values + 0.5 if positive else 0.6 * values
            elif tensor.dim():
                weights[name] = tensor[torch.randperm(len(tensor), generator=generator)]
            else:
                weights[name] = torch.randint(1, 1000, tensor.shape, generator=generator, dtype=tensor.dtype)
        return weights

    def eager(self, weights: Mapping[str, Tensor], inputs: Arrays) -> Arrays:
        """Return the network's outputs in eager mode."""
        network = self.network().eval()
        network.load_state_dict(weights)
        with torch.inference_mode():
            result = network(*(torch.from_numpy(inputs[tensor.name]) for tensor in self.contract.inputs))
        values = result if isinstance(result, tuple) else (result,)
        return {tensor.name: value.numpy() for tensor, value in zip(self.contract.outputs, values, strict=True)}


class Awkward(nn.Module):
    """An edge convolution along given edges and one on a k-NN graph, with weights of no, one and few elements.

    Beside parameters it has integers that the graph reads (`order`), a buffer that belongs to the architecture and
    is in no checkpoint (`signs`), and counters that no graph reads (of batch norm).
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(FEATURES)
        self.first = nn.Sequential(nn.Linear(2 * FEATURES, HIDDEN), nn.LeakyReLU(), nn.BatchNorm1d(HIDDEN))
        self.second = nn.Sequential(nn.Linear(2 * HIDDEN, HIDDEN), nn.LeakyReLU(), nn.BatchNorm1d(HIDDEN))
        self.output = nn.Linear(2 * HIDDEN + FEATURES + CLASSES, CLASSES)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.shift = nn.Parameter(torch.zeros(1))
        self.register_buffer("scale", torch.ones(CLASSES))
        self.register_buffer("order", torch.arange(CLASSES))
        self.register_buffer("signs", torch.tensor([1.0, -1.0, 1.0, -1.0]), persistent=False)

    def forward(self, x: Tensor, edge_index: Tensor, graph_input: Tensor, batch: Tensor) -> Tensor:
        """Return logits (B, 4)."""
        x = self.norm(x / 100)
        centre = x.index_select(0, edge_index[0])
        message = self.first(torch.cat([centre, x.index_select(0, edge_index[1]) - centre], dim=1))
        first = mean_by(message, edge_index[0], x.size(0))
        index, valid = nearest(torch.cat([first, x], dim=1), NEIGHBOURS, batch)
        centre = first.unsqueeze(1).expand(-1, NEIGHBOURS, -1)
        pairs = torch.cat([centre, first.index_select(0, index.flatten()).view(-1, NEIGHBOURS, HIDDEN)], dim=2)
        message = self.second(pairs.flatten(0, 1)).view(-1, NEIGHBOURS, HIDDEN)
        second = message.masked_fill(~valid.unsqueeze(2), 0.0).sum(1)
        pooled = mean_by(torch.cat([first, second, x], dim=1), batch, graph_input.size(0))
        logits = self.output(torch.cat([pooled, graph_input], dim=1)) * self.temperature + self.shift
        return (logits * self.scale * self.signs).index_select(1, self.order)


def event_inputs(*particles: int, seed: int = 0) -> Arrays:
    """Return the inputs of one call on events of so many particles each."""
    events = [FAMILY.sample({"events": 1, "particles": n}, seed + i)[0] for i, n in enumerate(particles)]
    return FAMILY.collate(events, "flat")


def without_edges(inputs: Arrays) -> Arrays:
    """Return `inputs` with no first-layer edge."""
    return {**inputs, "edge_index": inputs["edge_index"][:, :0]}


AWKWARD = Sample(
    network=Awkward,
    contract=CONTRACT,
    calls={
        "8 events of 9 particles": event_inputs(*[9] * 8),
        "20 particles": event_inputs(20),
        "1 particle, no edge": event_inputs(1),
        "2 particles": event_inputs(2),
        "fewer particles than neighbours": event_inputs(4),
        "no edge": without_edges(event_inputs(20)),
        "5 events": event_inputs(20, 1, 5, 2, 9),
        "5 events of 1 particle": event_inputs(1, 1, 1, 1, 1),
        "5 events, no edge": without_edges(event_inputs(3, 3, 3, 3, 3)),
        "largest events": event_inputs(40, 40),
    },
)
"""The network that a format is tried on unless it says otherwise."""


def random_weights(seed: int) -> dict[str, Tensor]:
    """Return random weights of `Awkward`."""
    return AWKWARD.weights(seed)


def eager(weights: Mapping[str, Tensor], inputs: Arrays) -> np.ndarray:
    """Return the logits of `Awkward` in eager mode."""
    return AWKWARD.eager(weights, inputs)["logits"]
