"""Properties: what the network as trained violates is told apart from what an artifact does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from family_samples import SMALL
from modelferry.core.contract import Arrays
from modelferry.families.probes import ALONE, REORDERED, TOGETHER, make_probes
from modelferry.records.validation import PropertyResult
from modelferry.stages.validation.recording import Recording
from small_family import DENSE, FLAT, checked, deployable, record, reference, runner

MATES, ORDER = "independent of batch mates", "independent of the order of particles"


class NormOfBatch(torch.nn.Module):
    """A graph normalisation that was called without the batch vector: it normalises all events of a call together."""

    def __init__(self, whole: torch.nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: torch.Tensor, batch: torch.Tensor, *rest: int) -> torch.Tensor:
        return self.whole(x, torch.zeros_like(batch), *rest)


def normalised_over_batch(network: torch.nn.Module) -> torch.nn.Module:
    network.gn0 = NormOfBatch(network.gn0)
    return network


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(reference())


def results(found) -> dict[str, PropertyResult]:
    return {result.name: result for result in found.properties}


@pytest.mark.parametrize("contract", [FLAT, DENSE], ids=["flat", "dense"])
def test_sound_network_has_both_and_so_has_its_artifact(contract, recording) -> None:
    found = results(checked(runner(deployable(contract.layout), contract), contract, recording))
    assert {name: result.outcome for name, result in found.items()} == {MATES: "holds", ORDER: "holds"}
    assert all(result.trained_change < 1e-12 for result in found.values())
    assert all(result.artifact_change < 1e-5 for result in found.values())


def test_what_the_trained_network_violates_is_its_own_and_the_artifact_passes() -> None:
    """Being faithful means keeping it: the report says so, and the artifact is not to blame."""
    found = checked(
        runner(normalised_over_batch(deployable("flat")), FLAT), FLAT, record(normalised_over_batch(reference()))
    )
    mates = results(found)[MATES]
    assert mates.outcome == "violated by the network as trained"
    assert mates.trained_change > 1e-3
    assert mates.artifact_change == pytest.approx(mates.trained_change, rel=1e-2)
    assert results(found)[ORDER].outcome == "holds"
    assert found.verdict.passed, found.verdict.reason


def test_what_only_the_artifact_violates_fails_it(recording) -> None:
    found = checked(runner(normalised_over_batch(deployable("flat")), FLAT), FLAT, recording)
    assert results(found)[MATES].outcome == "violated by the artifact"
    assert found.verdict.status == "failed"


def test_artifact_that_looks_at_the_place_of_a_particle_is_seen_by_the_order(recording) -> None:
    network = runner(deployable("dense"), DENSE)

    def first_counts_more(inputs: Arrays) -> Arrays:
        return {"logits": network(inputs)["logits"] + np.float32(1e-4) * inputs["x"][:, 0, :4]}

    found = results(checked(first_counts_more, DENSE, recording))
    assert found[ORDER].outcome == "violated by the artifact"
    assert found[MATES].outcome == "holds"


@pytest.mark.parametrize("name", SMALL)
def test_every_family_is_probed_for_the_properties_that_it_declares(name: str) -> None:
    family = SMALL[name]
    contract = family.contract(family.hyperparameters, family.reference_layout)
    labels = [probe.label for probe in make_probes(family, contract, 1, 1, [], "") for _ in probe.events]
    assert labels.count(TOGETHER) == labels.count(ALONE) > 8
    (event,) = family.sample(family.call_sizes(contract, 1), 1)
    declared = family.reordered(event, np.random.default_rng(1)) is not None
    assert labels.count(REORDERED) == (labels.count(TOGETHER) if declared else 0)
