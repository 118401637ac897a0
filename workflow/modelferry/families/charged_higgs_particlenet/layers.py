"""What the deployables of the charged-Higgs ParticleNet share: the layers around the graphs, and their transforms.

Without transforms the state-dict keys are those of the trained network. With them, layers that vanish leave an identity
behind, so that the others keep their names; `converted` computes the weights of what takes their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from modelferry.families.charged_higgs_particlenet.sizes import CLASSES, GRAPH_FEATURES, NEIGHBOURS, NODE_FEATURES
from modelferry.families.transforms import FOLD_BATCH_NORM, NONE, REMOVE_DROPOUT, SPLIT_EDGE_LINEAR
from modelferry.families.transforms.batch_norm import MeanAffine, fold_into_next, fold_into_previous, move_past_mean
from modelferry.families.transforms.dropout import remove_dropout
from modelferry.families.transforms.edge_convolution import split_edge_linear

CONVOLUTIONS = ("conv1", "conv2", "conv3")


class EdgeLayers(nn.Module):
    """The layers of an edge convolution with a residual shortcut, without its graph.

    A message of an edge j → i is ``mlp(joined(centre_i, neighbour_j))`` with `centre` and `neighbour` from `ends`; the
    result at a node is ``finished(mean of its messages, …)``.
    """

    __constants__: ClassVar[list[str]] = ["folded", "split"]

    def __init__(self, inputs: int, outputs: int, transforms: frozenset[str] = NONE) -> None:
        super().__init__()
        self.neighbours, self.outputs = NEIGHBOURS, outputs
        self.split, self.folded = SPLIT_EDGE_LINEAR in transforms, FOLD_BATCH_NORM in transforms
        layers: list[nn.Module] = []
        for width in (2 * inputs, outputs, outputs):
            layers += [nn.Linear(width, outputs), nn.LeakyReLU(), _norm(outputs, self.folded), nn.Dropout()]
        if self.split:
            layers[0] = nn.Identity()
            self.node = nn.Linear(inputs, 2 * outputs)
        self.mlp = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(nn.Linear(inputs, outputs), _norm(outputs, self.folded), nn.Dropout())
        self.after_mean = MeanAffine(outputs) if self.folded else nn.Identity()

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what nodes (N, inputs) contribute to their edges as centre and as neighbour."""
        if self.split:
            centre, neighbour = self.node(x).chunk(2, dim=1)
            return centre, neighbour
        return x, x

    def joined(self, centre: Tensor, neighbour: Tensor) -> Tensor:
        """Return the input of the MLP for edges whose ends contribute `centre` and `neighbour`."""
        if self.split:
            return centre + neighbour
        difference = neighbour - centre
        return torch.cat([centre.expand_as(difference), difference], dim=-1)

    def finished(self, mean: Tensor, filled: Tensor, x: Tensor) -> Tensor:
        """Return (N, outputs) for mean messages (N, outputs), whether there were any (N, 1), and nodes (N, inputs)."""
        if self.folded:
            mean = self.after_mean(mean, filled)
        return mean + self.shortcut(x)


class ParticleNetLayers(nn.Module):
    """All layers of a deployable ParticleNet; a layout adds `forward`. `norm` and `convolution` are its classes."""

    def __init__(
        self,
        norm: type[nn.Module],
        convolution: type[EdgeLayers],
        hidden: int = 128,
        transforms: frozenset[str] = NONE,
    ) -> None:
        super().__init__()
        self.neighbours, folded = NEIGHBOURS, FOLD_BATCH_NORM in transforms
        self.gn0 = norm(NODE_FEATURES)
        self.conv1 = convolution(NODE_FEATURES, hidden, transforms)
        self.conv2 = convolution(hidden, hidden, transforms)
        self.conv3 = convolution(hidden, hidden, transforms)
        self.bn0 = _norm(3 * hidden + GRAPH_FEATURES, folded)
        self.dense1 = nn.Linear(3 * hidden + GRAPH_FEATURES, hidden)
        self.bn1 = _norm(hidden, folded)
        self.dense2 = nn.Linear(hidden, hidden)
        self.bn2 = _norm(hidden, folded)
        self.output = nn.Linear(hidden, CLASSES)
        if REMOVE_DROPOUT in transforms:
            remove_dropout(self)

    def logits(self, pooled: Tensor, graph_input: Tensor) -> Tensor:
        """Return logits (B, 4) of pooled particles (B, 3 · hidden) and eras (B, 4)."""
        y = self.bn0(torch.cat([pooled, graph_input], dim=1))
        y = self.bn1(nn.functional.leaky_relu(self.dense1(y)))
        y = self.bn2(nn.functional.leaky_relu(self.dense2(y)))
        return self.output(y)


def converted(state_dict: Mapping[str, Tensor], transforms: frozenset[str]) -> dict[str, Tensor]:
    """Return the weights of a transformed deployable for a checkpoint's, computed in float64 and rounded once."""
    if not transforms:
        return dict(state_dict)
    dtype = state_dict["output.weight"].dtype
    state = {name: t.double() if t.is_floating_point() else t for name, t in state_dict.items()}
    if FOLD_BATCH_NORM in transforms:
        for conv in CONVOLUTIONS:
            state = fold_into_next(state, f"{conv}.mlp.2", f"{conv}.mlp.4")
            state = fold_into_next(state, f"{conv}.mlp.6", f"{conv}.mlp.8")
            state = move_past_mean(state, f"{conv}.mlp.10", f"{conv}.after_mean")
            state = fold_into_previous(state, f"{conv}.shortcut.0", f"{conv}.shortcut.1")
        for norm, linear in (("bn0", "dense1"), ("bn1", "dense2"), ("bn2", "output")):
            state = fold_into_next(state, norm, linear)
    if SPLIT_EDGE_LINEAR in transforms:
        for conv in CONVOLUTIONS:
            state = split_edge_linear(state, f"{conv}.mlp.0", f"{conv}.node")
    parts = list(dict.fromkeys(name.partition(".")[0] for name in state_dict))
    names = sorted(state, key=lambda name: parts.index(name.partition(".")[0]))
    return {name: state[name].to(dtype) if state[name].is_floating_point() else state[name] for name in names}


def _norm(features: int, folded: bool) -> nn.Module:
    return nn.Identity() if folded else nn.BatchNorm1d(features)
