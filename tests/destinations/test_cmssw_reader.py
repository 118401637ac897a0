"""An independent reader of `preprocess.json` gets the scores of the networks as trained: `make test-destinations`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cmssw_reader import scores
from cmssw_samples import CMSSW, columns_of, made
from jet_samples import formula_weights, jets_of
from modelferry.comparison.scores import softmax
from modelferry.demo.jet_toys import mixed
from modelferry.families import load_family
from modelferry.families.hyperparameters import read_hyperparameters
from modelferry.families.jets.base import JetFamily
from modelferry.families.weights import load_reference, trained_weights
from sheets import third_party

CLOSE = 1e-5

pytestmark = pytest.mark.skipif(
    "MODELFERRY_TEST_DESTINATIONS" not in os.environ, reason="takes minutes: make test-destinations"
)


def truth(family: JetFamily, reference: torch.nn.Module, events: Sequence[Any]) -> np.ndarray:
    """Return the softmax of the network as trained."""
    rows = []
    for start in range(0, len(events), 50):
        inputs = family.collate(events[start : start + 50], "prepared").values()
        with torch.no_grad():
            outputs = reference(*map(torch.from_numpy, inputs))
        rows.append(outputs[0] if isinstance(outputs, tuple) else outputs)
    return softmax(torch.cat(rows).numpy())


@pytest.mark.parametrize("card", ["full", "kin"])
def test_real_jets_have_the_scores_of_the_network_as_trained(card: str, tmp_path: Path) -> None:
    checkpoint = third_party(f"particle_transformer/ParticleNet_{card}.pt")
    family = load_family("particlenet")
    hyperparameters = family.resolve({}, read_hyperparameters(family, str(checkpoint)))
    family = family.configured(hyperparameters)
    assert isinstance(family, JetFamily)
    assert hyperparameters["card"] == f"JetClass_{card}"
    events = jets_of(family)
    path = made(family, hyperparameters, trained_weights(family, hyperparameters, checkpoint), "prepared", tmp_path)
    found = scores(path, CMSSW.files(path)[1], columns_of(family, events))
    expected = truth(family, load_reference(family, hyperparameters, checkpoint), events)
    assert len(found) == 100
    assert np.abs(found - expected).max() < CLOSE


NETWORKS = {
    "full": ("particlenet", {"features": 17, "widths": [[8, 8], [12, 12]], "dense": [16], "neighbours": 7}),
    "kin": (
        "particle_transformer",
        {
            "features": 7,
            "embed": [16, 16],
            "pair_embed": [8, 8],
            "heads": 4,
            "layers": 1,
            "class_layers": 1,
            "pair_activation": True,
        },
    ),
}


@pytest.mark.parametrize("card", NETWORKS)
def test_toy_jets_have_the_scores_of_the_network_as_trained(card: str, tmp_path: Path) -> None:
    name, given = NETWORKS[card]
    family = load_family(name)
    hyperparameters = family.resolve({**given, "card": f"JetClass_{card}", "classes": 10}, {})
    family = family.configured(hyperparameters)
    assert isinstance(family, JetFamily)
    reference = family.reference(hyperparameters).eval()
    weights = formula_weights({key: tuple(value.shape) for key, value in reference.state_dict().items()})
    reference.load_state_dict(weights)
    events = family.events_of(
        {key: value for key, value in mixed(1000, seed=4).items() if key in family.card.input_branches}
    )
    path = made(family, hyperparameters, weights, "prepared", tmp_path)
    found, expected = scores(path, CMSSW.files(path)[1], columns_of(family, events)), truth(family, reference, events)
    assert len(found) == 1000
    assert np.ptp(expected, axis=0).max() > 0.01
    assert np.abs(found - expected).max() < CLOSE
