"""The jet tagger of the ParticleNet and JetClass papers, as weaver trains it: arXiv:1902.08570, arXiv:2202.03772."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelferry.checkpoints.shapes import Shapes
from modelferry.families.jets.base import JetFamily
from modelferry.families.transforms import FOLD_BATCH_NORM, REMOVE_DROPOUT, SPLIT_EDGE_LINEAR

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict

NEIGHBOURS = 16
NETWORK = ("features", "classes", "neighbours", "widths", "dense")
FEW = (
    "in a jet of at most k particles, neighbours that are not there count with features 0, as in training; the output "
    "for a jet without any particle is what the head makes of zeros, and means nothing"
)


class ParticleNet(JetFamily):
    """Edge convolutions on dynamic k-NN graphs; the first is in (Δη, Δφ), the others in the space of features.

    All but k is read off the checkpoint; networks with a fusion layer are not of this family.
    """

    name = "particlenet"
    inputs = ("pf_points", "pf_features", "pf_mask")
    cards = {7: "JetClass_kin", 13: "JetClass_kinpid", 17: "JetClass_full"}
    hyperparameters = {
        "features": 17,
        "classes": 10,
        "neighbours": NEIGHBOURS,
        "widths": [[64, 64, 64], [128, 128, 128], [256, 256, 256]],
        "dense": [256],
        "card": "",
        "card_sha256": "",
    }
    graph_neighbours = NEIGHBOURS

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Read features, classes and widths off the shapes."""
        features = shapes.get("bn_fts.weight", ())
        blocks: dict[int, dict[int, int]] = {}
        layers: dict[int, int] = {}
        for name, shape in shapes.items():
            if (match := re.fullmatch(r"edge_convs\.(\d+)\.convs\.(\d+)\.weight", name)) and shape:
                blocks.setdefault(int(match[1]), {})[int(match[2])] = shape[0]
            if (match := re.fullmatch(r"fc\.(\d+)(?:\.0)?\.weight", name)) and shape:
                layers[int(match[1])] = shape[0]
        if len(features) != 1 or not blocks or not layers:
            return {}
        *dense, classes = (layers[number] for number in sorted(layers))
        widths = [[block[number] for number in sorted(block)] for _, block in sorted(blocks.items())]
        return {"features": features[0], "classes": classes, "widths": widths, "dense": dense}

    def notes(self, hyperparameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what jets of few particles give."""
        return (FEW,)

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the network of weaver."""
        from modelferry.families.particlenet.reference import ParticleNet

        return ParticleNet(**{name: hyperparameters[name] for name in NETWORK})

    def transforms(self, layout: str) -> tuple[str, ...]:
        """Return all, in either layout."""
        return (FOLD_BATCH_NORM, SPLIT_EDGE_LINEAR, REMOVE_DROPOUT)

    def network(self, hyperparameters: Mapping[str, Any], transforms: frozenset[str]) -> torch.nn.Module:
        """Return the pure-torch network."""
        from modelferry.families.particlenet.deployable import ParticleNet

        return ParticleNet(**{name: hyperparameters[name] for name in NETWORK}, transforms=transforms)

    def network_weights(self, state_dict: StateDict, transforms: frozenset[str]) -> StateDict:
        """Return the checkpoint's weights, or those of the rewritten network computed from them."""
        from modelferry.families.particlenet.deployable import converted

        return converted(state_dict, transforms)

    def broken_networks(self) -> dict[str, Callable[[torch.nn.Module], torch.nn.Module]]:
        """Return mistakes that ports of this network make; what each costs on real jets is known (docs/jets.md)."""
        from modelferry.families.particlenet import mistakes as broken

        return {
            "self among the neighbours": broken.self_as_neighbour,
            "difference before the particle in edge features": broken.difference_first,
            "all graphs in (Δη, Δφ)": broken.static_graph,
            "maximum over neighbours": broken.maximum,
            "mean over padding": broken.mean_over_padding,
        }


FAMILY = ParticleNet()
