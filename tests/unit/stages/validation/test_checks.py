"""All checks: each way of being wrong is told apart."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from modelferry.comparison.difference import Examination
from modelferry.core.contract import Arrays, Contract
from modelferry.formats import Runner
from modelferry.stages.validation.recording import Recording
from small_family import DENSE, FAMILY, FLAT, checked, deployable, record, reference, runner, unchecked

CONTRACTS = {"flat": FLAT, "dense": DENSE}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(reference())


@pytest.fixture(scope="module", params=["flat", "dense"])
def case(request: pytest.FixtureRequest) -> tuple[Runner, Contract]:
    contract = CONTRACTS[request.param]
    return runner(deployable(request.param), contract), contract


def where(run: Runner, wrong: Callable[[Arrays], bool], outcome: str) -> Runner:
    """Return an artifact that is wrong for some inputs only."""

    def broken(inputs: Arrays) -> Arrays:
        found = run(inputs)
        if not wrong(inputs):
            return found
        if outcome == "rejected":
            raise RuntimeError("shape mismatch\nat line 3 of generated code")
        return {name: value + np.float32(1e-3) for name, value in found.items()}

    return broken


def test_every_pair_of_sizes_is_a_point_and_ends_as_the_contract_says(case, recording) -> None:
    run, contract = case
    found = {point.label: point for point in checked(run, contract, recording).points}
    sizes = [point.sizes for point in found.values() if len(point.sizes) == 2]
    assert {(1, 1), (2, 7), (3, 12), (8, 12), (8, 1)} <= {(s["events"], s["particles"]) for s in sizes}
    assert len(sizes) >= 40
    assert found["events=9, particles=1"].outcome == found["events=9, particles=1"].expected == "rejected"
    dense = contract.layout == "dense"
    assert found["events=8, particles=12"].outcome == ("correct" if dense else "rejected")
    assert found["events=1, particles=13"].outcome == ("rejected" if dense else "correct")
    assert found["no particles"].outcome == "correct"
    assert all(point.status == "passed" for point in found.values())


@pytest.mark.parametrize("size", [{"events": 3, "particles": 7}, {"events": 8, "particles": 1}])
@pytest.mark.parametrize("outcome", ["silently wrong", "rejected"])
def test_artifact_that_is_wrong_at_one_point_only_fails_and_the_point_is_named(case, recording, size, outcome) -> None:
    run, contract = case
    inputs = FAMILY.collate(FAMILY.sample(size, 0), contract.layout)
    shapes = {name: array.shape for name, array in inputs.items()}
    broken = where(run, lambda given: {name: array.shape for name, array in given.items()} == shapes, outcome)
    found = checked(broken, contract, recording)
    label = f"events={size['events']}, particles={size['particles']}"
    assert {point.label: point.outcome for point in found.points}[label] == outcome
    assert found.verdict.status == "failed"
    assert label in found.verdict.reason
    assert "\n" not in found.verdict.reason
    assert outcome != "rejected" or "rejects what the contract allows" in found.verdict.reason


def test_artifact_that_answers_beyond_the_contract_fails(case, recording) -> None:
    _, contract = case
    loose = contract.model_copy(
        update={"dimensions": tuple(d.model_copy(update={"maximum": 10_000}) for d in contract.dimensions)}
    )
    found = checked(runner(deployable(contract.layout), loose), contract, recording)
    points = {point.label: point for point in found.points}
    assert points["events=9, particles=1"].outcome == "silently wrong"
    assert "answers beyond the contract" in found.verdict.reason


def test_artifact_without_any_checks_fails(recording) -> None:
    """A bare network takes float64 for float32, and integers that count from the end."""
    found = checked(unchecked(deployable("flat"), FLAT), FLAT, recording)
    assert found.verdict.status == "failed"
    assert {case.kind for case in found.outside if case.outcome == "silently wrong"} >= {"an input too many"}


def test_near_ties_are_listed_once_with_the_number_of_their_event(case, recording) -> None:
    run, contract = case
    chosen = int(np.flatnonzero(recording.labels == "events=8, particles=3")[-1])
    event = recording.events[chosen]

    def otherwise(inputs: Arrays) -> Arrays:
        """Decide one event otherwise, wherever it comes."""
        found = run(inputs)
        x, sizes = inputs["x"], event["x"].shape[0]
        if contract.layout == "dense":
            hit = [np.array_equal(row[:sizes], event["x"]) for row in x]
        else:
            starts = np.searchsorted(inputs["batch"], np.arange(len(found["logits"])))
            hit = [np.array_equal(x[start : start + sizes], event["x"]) for start in starts]
        return {"logits": found["logits"] + np.array(hit, np.float32)[:, None]}

    def jumping(events: Sequence[Arrays]) -> dict[str, Examination]:
        jumps = np.array([[[float(one is event)] * 4 for one in events]])
        return {"logits": Examination(jumps, jumps, np.zeros((len(events), 4)))}

    found = checked(otherwise, contract, dataclasses.replace(recording, examine=jumping))
    (tie,) = [tie for tie in found.near_ties("logits") if "particles=3" in tie.source]
    same = recording.distinct[tie.event] == recording.distinct[chosen]
    assert same
    repeated = recording.distinct[found.numbers] == recording.distinct[chosen]
    assert repeated.sum() > 1
    assert found.judgement.near_tie[repeated].all()
    facts = recording.event_facts(tie.event)
    assert np.shape(facts["inputs"]["x"]) == (3, 9)
    assert np.allclose(facts["outputs of the network as trained"]["logits in float32"], tie.reference_float32)


def test_examination_is_quick(case, recording) -> None:
    run, contract = case
    started = time.process_time()
    checked(run, contract, recording)
    assert time.process_time() - started < 5


def test_decisions_are_counted_on_labelled_events_too(case, recording) -> None:
    run, contract = case

    def swapped(inputs: Arrays) -> Arrays:
        return {"logits": np.ascontiguousarray(run(inputs)["logits"][:, [1, 0, 2, 3]])}

    sound, broken = (checked(r, contract, recording).decisions for r in (run, swapped))
    assert (sound.argmax_flips, sound.labelled_argmax_flips) == (0, 0)
    assert sound.labelled_max_score_shift <= sound.max_score_shift < 1e-5
    assert sound.labelled_events == int((recording.classes[checked(run, contract, recording).numbers] != -1).sum())
    assert broken.argmax_flips > broken.labelled_argmax_flips / 20 > 0
    assert broken.labelled_max_score_shift > 0.01
    assert [pair.classes for pair in sound.class_pairs][:2] == [("signal", "nonprompt"), ("signal", "diboson")]
    assert len(sound.class_pairs) == 6
    moved = {pair.classes: abs(pair.artifact_auc - pair.trained_auc) for pair in broken.class_pairs}
    assert broken.delta_auc == max(moved.values()) > 0
    assert moved["diboson", "ttZ"] < 0.01 < broken.delta_auc


def test_static_edges_keep_the_small_points_and_fail_the_others(recording) -> None:
    """What the charged-Higgs export shipped: right below six particles, and wrong above."""
    network = deployable("flat")

    class Static(torch.nn.Module):
        def forward(self, x, edge_index, graph_input, batch):
            from modelferry.families.charged_higgs_particlenet.flat import mean_by

            first = network.conv1.along_edges(network.gn0(x, batch, graph_input.size(0)), edge_index)
            second = network.conv2.along_edges(first, edge_index)
            third = network.conv3.along_edges(second, edge_index)
            pooled = mean_by(torch.cat([first, second, third], dim=1), batch, graph_input.size(0))
            return network.logits(pooled, graph_input)

    points = {p.label: p.outcome for p in checked(runner(Static(), FLAT), FLAT, recording).points}
    assert {points[f"events=8, particles={n}"] for n in (1, 2, 3, 4, 5)} == {"correct"}
    assert {points[f"events=2, particles={n}"] for n in (7, 9, 12)} == {"silently wrong"}
