"""Controls on a small network: broken artifacts must be seen, and a validator that sees nothing must be found out."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from checkpoint_samples import formula_state
from family_samples import SMALL
from modelferry.comparison.difference import Examination, Outputs
from modelferry.comparison.judge import Verdict, judge
from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family, load_family
from modelferry.families.probes import NOT_FINITE, Probe, evaluate, make_probes
from modelferry.formats import Format, load_format
from modelferry.formats.shared.runner import on_tensors
from modelferry.stages.validation import controls, input_corruptions
from modelferry.stages.validation.controls import SoundArtifact, run_controls
from modelferry.stages.validation.faulty_networks import TRAINING, record_faulty_networks
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.run_probes import run_probes
from modelferry.stages.validation.stage import nondeterminism
from modelferry.stages.validation.verdict import with_controls


@dataclass(frozen=True)
class Bench:
    family: Family
    target: Format
    template: Path
    weights: dict[str, torch.Tensor]
    recording: Recording

    def run(self, **changes: Any) -> Any:
        contract = self.family.contract({"hidden": 16}, "flat")
        weights = changes.get("weights", self.weights)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "whole.pt"
            self.target.fill(self.template, weights, {}, path)
            whole = self.target.load(path, threads=1)
            tried = SoundArtifact(self.family, self.target, contract, self.template, weights, whole)
            return run_controls(tried, self.recording, Tolerance(), changes.get("another"))


def sound(family: Family, contract: Any, probe: Probe) -> bool:
    return probe.source != NOT_FINITE and contract.allows(family.collate(probe.events, contract.layout))


def prepare(state: dict[str, torch.Tensor], folder: Path) -> Bench:
    family, target = load_family("charged_higgs_particlenet"), load_format("torchscript")
    contract = family.contract({"hidden": 16}, "flat")
    probes = [probe for probe in make_probes(family, contract, 1, 1, [], "") if sound(family, contract, probe)]
    network = family.reference({"hidden": 16}).eval()
    network.load_state_dict(state)
    float32 = evaluate(network, family, contract, probes)
    float64 = evaluate(network.double(), family, contract, probes, torch.float64)
    count = sum(len(probe.events) for probe in probes)
    broken = record_faulty_networks(family, {"hidden": 16}, contract, state, probes)
    recording = Recording(tuple(probes), float32, float64, np.full(count, -1), np.ones(count), "", broken)
    example = family.collate(family.sample({"events": 4, "particles": 9}, 1), "flat")
    template = folder / "template.pt"
    deployable = family.deployable({"hidden": 16}, "flat").eval()
    target.build_template(deployable, contract, example, target.resolve_options({}), template)
    return Bench(family, target, template, state, recording)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return prepare(formula_state(16), tmp_path_factory.mktemp("bench"))


def test_every_broken_artifact_is_seen(bench: Bench) -> None:
    found = bench.run()
    ways = {controls.WEIGHT, controls.BIAS, controls.OTHER_FOLD, TRAINING}
    assert {control.name for control in found} == {
        *ways, *bench.family.broken_inputs("flat"), *bench.family.broken_networks(),
    }  # fmt: skip
    assert all(control.detected for control in found)
    assert all(control.max_abs_diff > 1e-3 for control in found)


def test_whole_artifact_is_not_seen_as_broken(bench: Bench, tmp_path: Path) -> None:
    contract = bench.family.contract({"hidden": 16}, "flat")
    bench.target.fill(bench.template, bench.weights, {}, tmp_path / "whole.pt")
    run = bench.target.load(tmp_path / "whole.pt", 1)
    tried = run_probes(run, bench.family, contract, bench.recording)
    found = tried.part(tried.within & tried.finite_inputs)
    truth = found.recording
    outputs = Outputs(truth.float64["logits"], truth.float32["logits"], found.outputs["logits"])
    assert judge(outputs, truth.labels, Tolerance()).verdict == Verdict("passed", "")


def test_unbroken_artifact_under_the_name_of_a_control_fails_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "with_changed_weight", lambda weights, rank: dict(weights))
    found = bench.run()
    unseen = [control.name for control in found if not control.detected]
    assert unseen == [controls.WEIGHT]
    assert with_controls(Verdict("passed", ""), found).status == "failed"


def test_unbroken_inputs_under_the_name_of_a_control_fail_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unbroken(self: Family, layout: str | None = None) -> dict[str, Any]:
        return {"nothing spoiled": lambda inputs, contract: inputs}

    monkeypatch.setattr(type(bench.family), "broken_inputs", unbroken)
    found = bench.run()
    assert [control.name for control in found if not control.detected] == ["nothing spoiled"]
    assert "nothing spoiled" in with_controls(Verdict("passed", ""), found).reason


def test_artifact_that_gives_other_outputs_for_the_same_inputs_is_found(bench: Bench) -> None:
    """What a network exported in training mode does: its dropout goes on."""
    contract = bench.family.contract({"hidden": 16}, "flat")
    network = bench.family.deployable({"hidden": 16}, "flat")
    network.load_state_dict(bench.weights)
    for training in (False, True):
        network.train(training)
        run = on_tensors(lambda inputs: network(*inputs), contract)
        tried = run_probes(run, bench.family, contract, bench.recording)
        found = tried.part(tried.within & tried.finite_inputs)
        reason = nondeterminism(run, bench.family, contract, found.recording, found.outputs)
        assert ("as a network in training mode does" in reason) == training


@pytest.mark.parametrize("seed", range(6))
def test_changed_weight_is_seen_whatever_the_weights_are(seed: int, tmp_path: Path) -> None:
    """The largest weight of a freshly made network may sit behind a unit that never fires."""
    torch.manual_seed(seed)
    state = load_family("charged_higgs_particlenet").deployable({"hidden": 16}, "flat").state_dict()
    found = {control.name: control for control in prepare(dict(state), tmp_path).run()}
    assert found[controls.WEIGHT].detected
    assert found[controls.BIAS].detected


def test_unbroken_network_under_the_name_of_a_control_fails_the_run(bench: Bench) -> None:
    recording = bench.recording
    whole = [
        dataclasses.replace(one, outputs={"logits": recording.float32["logits"][one.events]})
        if one.name == "k changed by one"
        else one
        for one in recording.faulty
    ]
    found = dataclasses.replace(bench, recording=dataclasses.replace(recording, faulty=tuple(whole))).run()
    assert [control.name for control in found if not control.detected] == ["k changed by one"]


def test_weights_that_are_no_other_fold_fail_the_run(bench: Bench) -> None:
    found = bench.run(another=bench.weights)
    assert [control.name for control in found if not control.detected] == [controls.OTHER_FOLD]
    assert all(control.detected for control in bench.run(another=formula_state(16, salt="another fold")))


def test_events_decided_by_rounding_do_not_detect_anything(bench: Bench) -> None:
    """A recording of near-ties alone shows nothing: what is broken must be seen in the other events."""

    def jumping(events: Sequence[Arrays]) -> dict[str, Examination]:
        jumps = np.ones((1, len(events), 4))
        return {"logits": Examination(jumps, jumps, np.zeros((len(events), 4)))}

    blind = dataclasses.replace(bench.recording, examine=jumping)
    assert not any(control.detected for control in dataclasses.replace(bench, recording=blind).run())


def test_one_bias_of_the_smallest_tensor_is_changed_and_nothing_else() -> None:
    before = formula_state(16)
    for rank in (0, 1):
        after = controls.with_changed_bias(before, rank)
        changed = {name: int((after[name] != before[name]).sum()) for name in before}
        assert {name: count for name, count in changed.items() if count} == {"output.bias": 1}
    zero = {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)}
    assert controls.with_changed_bias(zero)["a.bias"].sum() > 0


def test_another_training_moves_every_weight_and_leaves_the_statistics_valid() -> None:
    before = formula_state(16)
    after = controls.retrained(before)
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert tensor.is_floating_point() != torch.equal(after[name], tensor), name
    assert all((tensor > 0).all() for name, tensor in after.items() if name.endswith("running_var"))


def test_one_weight_is_changed_and_no_other() -> None:
    before = formula_state(16)
    after = controls.with_changed_weight(before)
    changed = {name: int((after[name] != before[name]).sum()) for name in before}
    assert sum(changed.values()) == 1
    (name,) = (name for name, count in changed.items() if count)
    ratio = (after[name] / before[name])[after[name] != before[name]]
    assert abs(float(ratio[0]) - 1) == pytest.approx(0.1, rel=1e-3)
    assert before[name] is not after[name]


class Tagger(Family):
    """A family that declares nothing: a perceptron, the first two features of which count for nothing."""

    name = "tagger"
    layouts = ("table",)
    reference_layout = "table"

    def __init__(self, dropout: float, features: tuple[str, ...]) -> None:
        self.dropout, self.features = dropout, features

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        return Contract(
            layout=layout,
            inputs=(Tensor(name="x", dtype="float32", shape=("events", 4), features=self.features),),
            outputs=(Tensor(name="logits", dtype="float32", shape=("events", 2)),),
            dimensions=(Dimension(name="events", minimum=1, typical=8, maximum=64),),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        torch.manual_seed(1)
        dropout = [torch.nn.Dropout(self.dropout)] if self.dropout else []
        network = torch.nn.Sequential(torch.nn.Linear(4, 8), *dropout, torch.nn.ReLU(), torch.nn.Linear(8, 2))
        network[0].weight.data[:, :2] = 0
        return network

    def deployable(self, hyperparameters: Any, layout: str, transforms: Any = frozenset()) -> torch.nn.Module:
        return self.reference(hyperparameters)

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        rows = np.random.default_rng(seed).normal(size=(dims["events"], 4)).astype(np.float32)
        return [{"x": row} for row in rows]

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        return {"x": np.stack([event["x"] for event in events])}


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("features", [("a", "b", "c", "d"), ()])
def test_family_that_declares_nothing_has_what_its_contract_and_layers_tell(
    dropout: float, features: tuple[str, ...], tmp_path: Path
) -> None:
    family, target = Tagger(dropout, features), load_format("torchscript")
    contract, network = family.contract({}, "table"), family.reference({}).eval()
    probes = make_probes(family, contract, 100, 1, [], "")
    weights = network.state_dict()
    outputs = [evaluate(network.to(dtype), family, contract, probes, dtype) for dtype in (torch.float64, torch.float32)]
    count = len(outputs[0]["logits"])
    broken = record_faulty_networks(family, {}, contract, weights, probes)
    recording = Recording(tuple(probes), outputs[1], outputs[0], np.full(count, -1), np.ones(count), "", broken)
    example, options = family.collate(probes[-1].events, ""), target.resolve_options({})
    target.build_template(network, contract, example, options, tmp_path / "t")
    target.fill(tmp_path / "t", weights, {}, tmp_path / "m")
    whole = SoundArtifact(family, target, contract, tmp_path / "t", weights, target.load(tmp_path / "m", 1))
    found = run_controls(whole, recording, Tolerance())
    expected = {controls.WEIGHT, controls.BIAS, controls.OTHER_FOLD}
    expected |= {TRAINING} if dropout else set()
    expected |= {input_corruptions.SWAPPED} if features else set()
    assert {control.name for control in found} == expected
    assert all(control.detected for control in found)


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"lightning"}))  # whose inputs here have no named features
def test_broken_inputs_change_what_is_fed_and_leave_the_original_alone(name: str) -> None:
    family = SMALL[name]
    contract = family.contract(family.hyperparameters, family.layouts[0])
    sizes, shorter = family.call_sizes(contract, 3), family.call_sizes(contract, 3, 2)
    inputs = family.collate([*family.sample(sizes, 4), *family.sample(shorter, 5)], contract.layout)
    before: Arrays = {key: value.copy() for key, value in inputs.items()}
    assert family.broken_inputs()
    for corrupt in family.broken_inputs().values():
        corrupted = corrupt(inputs, contract)
        assert any(not np.array_equal(corrupted[key], before[key]) for key in before)
        assert all(np.array_equal(inputs[key], before[key]) for key in before)
        contract.check(corrupted)
