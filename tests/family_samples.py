"""Networks that are small enough for tests of every family: what differs from a family's own hyperparameters."""

from __future__ import annotations

from typing import Any

from modelferry.families import Family, load_family

SMALL: dict[str, dict[str, Any]] = {
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


def small(name: str) -> tuple[Family, dict[str, Any]]:
    """Return a family for a small network, and all its hyperparameters."""
    family = load_family(name)
    hyperparameters = {**family.hyperparameters, **SMALL.get(name, {})}
    return family.bound(hyperparameters), hyperparameters
