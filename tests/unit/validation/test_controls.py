"""Controls on a small network: broken artifacts must be seen, and a validator that sees nothing must be found out."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from checkpoint_samples import formula_state
from modelferry.contract import Arrays
from modelferry.families import Family, family_names, load_family
from modelferry.formats import Format, load_format
from modelferry.records import Tolerance
from modelferry.validation import controls
from modelferry.validation.attempt import allows
from modelferry.validation.probes import NOT_FINITE, Probe, make_probes
from modelferry.validation.recording import Recording
from modelferry.validation.reference import evaluate
from modelferry.validation.stage import run_controls, run_probes
from modelferry.validation.verdict import Verdict, judge, with_controls


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
            tried = (self.template, weights, whole, self.recording, Tolerance())
            return run_controls(self.family, self.target, contract, *tried)


def sound(family: Family, contract: Any, probe: Probe) -> bool:
    return probe.source != NOT_FINITE and allows(contract, family.collate(probe.events, contract.layout))


def prepare(state: dict[str, torch.Tensor], folder: Path) -> Bench:
    family, target = load_family("charged_higgs_particlenet"), load_format("torchscript")
    contract = family.contract({"hidden": 16}, "flat")
    probes = [probe for probe in make_probes(family, contract, 1, 1, [], "") if sound(family, contract, probe)]
    network = family.reference({"hidden": 16}).eval()
    network.load_state_dict(state)
    float32 = evaluate(network, family, contract, probes)
    float64 = evaluate(network.double(), family, contract, probes, torch.float64)
    shaken = {"logits": np.empty((0, *float32["logits"].shape), np.float32)}
    count = sum(len(probe.events) for probe in probes)
    recording = Recording(tuple(probes), float32, float64, shaken, np.full(count, -1), np.ones(count), "")
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
    assert {control.name for control in found} == {"one weight changed by 10 %", *bench.family.broken_inputs()}
    assert all(control.detected for control in found)
    assert all(control.max_abs_diff > 1e-3 for control in found)


def test_whole_artifact_is_not_seen_as_broken(bench: Bench, tmp_path: Path) -> None:
    contract = bench.family.contract({"hidden": 16}, "flat")
    bench.target.fill(bench.template, bench.weights, {}, tmp_path / "whole.pt")
    run = bench.target.load(tmp_path / "whole.pt", 1)
    artifact = run_probes(run, bench.family, contract, bench.recording.probes)
    from modelferry.validation.compare import Outputs

    outputs = Outputs(bench.recording.float64["logits"], bench.recording.float32["logits"], artifact["logits"])
    assert judge(outputs, bench.recording.labels, Tolerance()).verdict == Verdict("passed", "")


def test_unbroken_artifact_under_the_name_of_a_control_fails_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "with_changed_weight", lambda weights, rank: dict(weights))
    found = bench.run()
    unseen = [control.name for control in found if not control.detected]
    assert unseen == ["one weight changed by 10 %"]
    assert with_controls(Verdict("passed", ""), found).status == "failed"


def test_unbroken_inputs_under_the_name_of_a_control_fail_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unbroken(self: Family, layout: str | None = None) -> dict[str, Any]:
        return {"nothing spoiled": lambda inputs, contract: inputs}

    monkeypatch.setattr(type(bench.family), "broken_inputs", unbroken)
    found = bench.run()
    assert [control.detected for control in found] == [True, False]
    assert "nothing spoiled" in with_controls(Verdict("passed", ""), found).reason


@pytest.mark.parametrize("seed", range(6))
def test_changed_weight_is_seen_whatever_the_weights_are(seed: int, tmp_path: Path) -> None:
    """The largest weight of a freshly made network may sit behind a unit that never fires."""
    torch.manual_seed(seed)
    state = load_family("charged_higgs_particlenet").deployable({"hidden": 16}, "flat").state_dict()
    found = {control.name: control for control in prepare(dict(state), tmp_path).run()}
    assert found["one weight changed by 10 %"].detected


def test_one_weight_is_changed_and_no_other() -> None:
    before = formula_state(16)
    after = controls.with_changed_weight(before)
    changed = {name: int((after[name] != before[name]).sum()) for name in before}
    assert sum(changed.values()) == 1
    (name,) = (name for name, count in changed.items() if count)
    ratio = (after[name] / before[name])[after[name] != before[name]]
    assert abs(float(ratio[0]) - 1) == pytest.approx(0.1, rel=1e-3)
    assert before[name] is not after[name]


@pytest.mark.parametrize("name", family_names())
def test_broken_inputs_change_what_is_fed_and_leave_the_original_alone(name: str) -> None:
    family = load_family(name)
    contract = family.contract(family.hyperparameters, family.layouts[0])
    sizes = {family.batch: 3, **({family.size: contract.dimension(family.size).typical} if family.size else {})}
    inputs = family.collate(family.sample(sizes, 4), contract.layout)
    before: Arrays = {key: value.copy() for key, value in inputs.items()}
    assert family.broken_inputs()
    for spoil in family.broken_inputs().values():
        spoiled = spoil(inputs, contract)
        assert any(not np.array_equal(spoiled[key], before[key]) for key in before)
        assert all(np.array_equal(inputs[key], before[key]) for key in before)
        contract.check(spoiled)
