"""A small network of every family, for the suites that all families are in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.families import Family, family_names, load_family

HYPERPARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "image_classifier": {"stages": [[1, 4], [1, 8]], "size": [8, 8], "classes": 3, "mean": [0.5], "std": [0.25]},
    "lightning": {
        "class": "modelferry.demo.digits_training:DigitClassifier",
        "init": {"width": 4},
        "inputs": {"image": {"shape": ["images", 1, 8, 8], "values": [0, 1]}},
        "outputs": {"logits": ["images", 10]},
    },
    "particlenet": {"widths": [[8, 8], [12]], "dense": [6], "neighbours": 4},
    "particle_transformer": {
        "embed": [8, 12, 16],
        "pair_embed": [6],
        "heads": 4,
        "layers": 2,
        "class_layers": 1,
        "hidden": 12,
        "dense": [6],
        "pair_activation": False,
    },
}
"""What is not the family's default."""


def small_family(name: str) -> Family:
    """Return a family whose own hyperparameters are those of the small network."""
    kind = type(load_family(name))
    hyperparameters = load_family(name).resolve(HYPERPARAMETERS.get(name, {}), {})
    small = type(kind.__name__, (kind,), {"hyperparameters": hyperparameters})
    return small().configured(hyperparameters)


SMALL = {name: small_family(name) for name in family_names()}
