"""Every defect that the controls stand for, planted in an artifact of every exact format: the validation must fail."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from checkpoint_samples import save_checkpoint
from made_once import made_once
from modelferry.checkpoints.reader import load_state_dict
from modelferry.config.file import parse_config
from modelferry.core import paths
from modelferry.core.tolerances import Tolerance
from modelferry.families import load_family
from modelferry.families.weights import trained_weights
from modelferry.formats import format_names, load_format
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.records import ArtifactFacts
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation
from modelferry.stages.export.artifact import export_model
from modelferry.stages.export.template import build_template
from modelferry.stages.validation.changed_weights import with_changed_bias, with_changed_weight
from modelferry.stages.validation.diagnosis import diagnose
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.reference import record_reference
from modelferry.stages.validation.stage import validate_artifact
from planted_family import DEFECTS, LAYOUT, PlantedFamily

EXACT = [name for name in format_names() if load_format(name).exactness == "exact" and load_format(name).general]
KEEPING = [name for name in EXACT if load_format(name).keeps_weights]
"""Those from whose files the weights can be read back."""
FUSED = {"aotinductor", "ort"}
"""Those whose files show no layers."""
FAMILY = "planted_family:PlantedFamily"
Weights = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Ground:
    """Two models in a folder of their own; the templates of all formats are built once for all test processes."""

    folder: Path
    planned: PlannedModel
    recording: Recording
    other: str
    factory: pytest.TempPathFactory

    def export(self, name: str, change: Callable[[Weights], Weights] = dict) -> Manifest:
        """Export the model; `change` alters what is filled in behind the back of the manifest."""
        spec = self.planned.template(name)
        if not Path(spec.record).is_file():
            shutil.copytree(self.built(name), self.folder, dirs_exist_ok=True)
        manifest = export_model(self.planned, name)
        family, target = load_family(FAMILY), load_format(name)
        trained = trained_weights(family, self.planned.hyperparameters, self.planned.model.checkpoint)
        weights = family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
        path = Path(manifest.artifact.path)
        target.fill(Path(spec.file), change(dict(weights)), {}, path)
        altered = manifest.model_copy(update={"artifact": ArtifactFacts.of(target.files(path))})
        altered.write(paths.manifest(self.planned.id, name))
        return altered

    def built(self, name: str) -> Path:
        """Return a folder in which the template of a format is where the workflow has it."""

        def make(folder: Path) -> None:
            with contextlib.chdir(folder):
                build_template(self.planned.template(name))

        return made_once(self.factory, f"planted-{name}", make)

    def validate(self, name: str) -> Validation:
        runtime = load_format(name).runtimes[0]
        return validate_artifact(self.planned, name, runtime, Tolerance(), self.recording, [self.other])

    def diagnose(self, name: str) -> str:
        return "\n".join(diagnose(self.planned, name, Tolerance(), self.recording))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("planted")
        patch.chdir(folder)
        for fold in (0, 1):
            save_checkpoint(folder / f"weights/{fold}.pt", 8, salt=str(fold))
        config = {
            "family": FAMILY, "axes": {"fold": [0, 1]}, "checkpoint": "weights/{fold}.pt",
            "formats": EXACT, "validation": {"events": 1},
        }  # fmt: skip
        planned = Plan(parse_config({"campaigns": {"planted": config}})).model("planted/fold-0")
        yield Ground(folder, planned, record_reference(planned), str(folder / "weights/1.pt"), tmp_path_factory)


@pytest.fixture(params=EXACT)
def name(request: pytest.FixtureRequest) -> str:
    if lacking := load_format(request.param).unavailable():
        pytest.skip(lacking)
    return str(request.param)


@pytest.fixture
def ground(made: Ground, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.chdir(made.folder)
    return made


def flipped(weights: Weights) -> Weights:
    """Flip the last bit of one weight: a change of one part in ten million."""
    changed = weights["conv3.mlp.8.weight"].clone()
    changed.view(-1)[5:6].view(torch.int32)[0] ^= 1
    return {**weights, "conv3.mlp.8.weight": changed}


def test_sound_artifact_passes_and_every_control_is_seen(ground: Ground, name: str) -> None:
    ground.export(name)
    record = ground.validate(name)
    assert (record.status, record.reason) == ("passed", "")
    assert record.weights_compared >= (90 if name in KEEPING else 0)
    assert len(record.controls) >= 9
    assert all(control.detected for control in record.controls)


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_of_the_network_is_seen_and_called_by_its_name(
    ground: Ground, name: str, defect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The artifact is what its deployable is: only the comparison with the reference can tell."""
    monkeypatch.setattr(PlantedFamily, "planted", (defect,))
    ground.export(name)
    record = ground.validate(name)
    assert record.status == "failed"
    assert "events differ from the reference by up to" in record.reason
    assert record.max_abs_diff > 1e-3
    assert "weights inside" not in record.reason
    # Statistics of the batch without dropout are not what the reference gives in training mode.
    assert (f"those of the network with this mistake: {defect}" in record.reason) == (defect != DEFECTS[4])
    assert sum(other in record.reason for other in DEFECTS) <= 1
    assert not load_format(name).bitwise or record.deployable_max_abs_diff == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (with_changed_weight, "'output.weight' (1 of 32 values, by"),
        (with_changed_bias, "'output.bias' (1 of 4 values, by"),
    ],
    ids=["one large weight changed by 10 %", "one bias of a small tensor changed"],
)
def test_changed_weight_is_seen_in_the_outputs_and_named(ground: Ground, name: str, change: Any, named: str) -> None:
    ground.export(name, change)
    record = ground.validate(name)
    assert record.status == "failed"
    assert (f"weights inside are not the checkpoint's: {named}" in record.reason) == (name in KEEPING)
    assert "events differ from the reference by up to" in record.reason


def test_weights_of_another_fold_are_seen_in_the_outputs_and_named(ground: Ground, name: str) -> None:
    ground.export(name, lambda weights: {**weights, **load_state_dict(ground.other)})
    record = ground.validate(name)
    assert record.status == "failed"
    named = "weights inside are not the checkpoint's: 'gn0.weight' (9 of 9 values"
    assert (named in record.reason and "more; " in record.reason) == (name in KEEPING)
    assert "events differ from the reference by up to" in record.reason
    assert record.max_abs_diff > 0.1


@pytest.mark.parametrize("name", KEEPING, indirect=True)
def test_one_bit_of_one_weight_fails_though_no_output_shows_it(ground: Ground, name: str) -> None:
    ground.export(name, flipped)
    record = ground.validate(name)
    assert record.status == "failed"
    assert "weights inside are not the checkpoint's: 'conv3.mlp.8.weight' (1 of 64 values, by up to" in record.reason
    assert record.max_abs_diff < 1e-5
    assert "events differ" not in record.reason


def test_weights_of_another_fold_are_another_models_where_there_is_one(ground: Ground) -> None:
    ground.export("torchscript")
    found = {}
    for others in ([ground.other], [], ["weights/none.pt", "weights/0.pt"]):
        record = validate_artifact(ground.planned, "torchscript", "pytorch", Tolerance(), ground.recording, others)
        (control,) = (control for control in record.controls if control.name == "weights of another fold")
        assert control.detected
        found[tuple(others)] = control.max_abs_diff
    first, none, same = found.values()
    assert first != none == same


def test_diagnosis_of_a_sound_artifact_finds_nothing(ground: Ground, name: str) -> None:
    ground.export(name)
    text = ground.diagnose(name)
    assert "outputs: passed" in text
    assert "depart is" not in text
    assert ("equal to the checkpoint bit by bit" in text) == (name in KEEPING)
    assert ("shows no layers" in text) == (name in FUSED)


@pytest.mark.parametrize(
    ("defect", "place"),
    [
        ("edges reversed", "input of 'conv1.mlp'"),
        # the switchable network has more edges in its later layers, so that those of conv2 are not compared
        ("edges of the input in all layers", "input of 'conv3.shortcut'"),
        ("k changed by one", "input of 'conv3.shortcut'"),
        ("normalisation over the batch", "output of 'gn0'"),
        ("evaluation mode forgotten", "input of 'dense2'"),
        ("features E and Px swapped", "input of 'gn0'"),
    ],
)
def test_diagnosis_finds_the_layer_in_which_a_network_departs(
    ground: Ground, defect: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlantedFamily, "planted", (defect,))
    ground.export("torchscript")
    (line,) = (line for line in ground.diagnose("torchscript").splitlines() if "reference and deployable" in line)
    assert f"first to depart is the {place}" in line


@pytest.mark.parametrize("module", ["gn0", "conv2.mlp.0", "conv3.shortcut.0", "dense1"])
def test_diagnosis_finds_the_layer_in_which_an_artifact_departs(ground: Ground, name: str, module: str) -> None:
    ground.export(name, lambda weights: {**weights, f"{module}.bias": weights[f"{module}.bias"] + 0.3})
    text = ground.diagnose(name)
    assert (f"weights inside are not the checkpoint's: '{module}.bias'" in text) == (name in KEEPING)
    assert "reference and deployable, float64: " in text
    assert "none departs" in text.partition("reference and deployable")[2].splitlines()[0]
    last = text.splitlines()[-1]
    assert "shows no layers" in last if name in FUSED else f"depart is the output of '{module}'" in last


def test_diagnosis_saves_the_worst_event_and_the_tolerance_that_would_pass(ground: Ground) -> None:
    ground.export("torchscript", with_changed_weight)
    text = ground.diagnose("torchscript")
    with np.load(ground.folder / paths.diagnosis(ground.planned.id, "torchscript"), allow_pickle=False) as archive:
        saved = dict(archive.items())
    run = load_format("torchscript").load(Path(ground.planned.artifact("torchscript")), 1)
    inputs = {name.removeprefix("input."): value for name, value in saved.items() if name.startswith("input.")}
    again = run(inputs)["logits"][int(saved["place"])]
    assert np.array_equal(again, saved["artifact.logits"])
    apart = np.abs(again - saved["reference.float32.logits"]).max()
    assert apart == pytest.approx(ground.validate("torchscript").max_abs_diff, rel=1e-6)
    found = re.search(r"would pass: rtol (\S+) with atol 1e-06, or atol (\S+) with rtol", text)
    assert found is not None
    for limits in ({"rtol": float(found[1]) * 1.1}, {"atol": float(found[2]) * 1.1}):
        wide = validate_artifact(ground.planned, "torchscript", "pytorch", Tolerance(**limits), ground.recording)
        assert "events differ" not in wide.reason


def test_layout_is_the_one_with_the_defects(ground: Ground) -> None:
    assert ground.planned.template("torchscript").layout == LAYOUT
