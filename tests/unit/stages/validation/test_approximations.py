"""The input's edges in all layers: an approximation that is labelled, measured, and never passes as exact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoint_samples import save_checkpoint
from modelferry.config.file import parse_config
from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.core.tolerances import Tolerance
from modelferry.families import load_family
from modelferry.formats import load_format
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.records import ArtifactFacts
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation
from modelferry.stages.export.artifact import export_model
from modelferry.stages.export.template import build_template
from modelferry.stages.validation.changed_weights import with_changed_bias
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.reference import record_reference
from modelferry.stages.validation.stage import validate_artifact

STATIC = "torchscript-static_edges"


@dataclasses.dataclass(frozen=True)
class Ground:
    folder: Path
    planned: PlannedModel
    recording: Recording

    def validate(self, **limits: float) -> Validation:
        settings = self.planned.model.validation.model_copy(update=limits)
        planned = dataclasses.replace(self.planned, model=dataclasses.replace(self.planned.model, validation=settings))
        return validate_artifact(planned, STATIC, "pytorch", Tolerance(), self.recording)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("approximations")
        patch.chdir(folder)
        save_checkpoint(folder / "0.pt", 8)
        static = {"format": "torchscript", "approximate": ["static_edges"], "transforms": "none"}
        config = {
            "family": "charged_higgs_particlenet", "axes": {"fold": [0]}, "checkpoint": "{fold}.pt",
            "formats": [static], "validation": {"events": 1},
        }  # fmt: skip
        planned = Plan(parse_config({"campaigns": {"a": config}})).model("a/fold-0")
        build_template(planned.template(STATIC))
        export_model(planned, STATIC)
        recording = record_reference(planned)
        classes = np.random.default_rng(0).integers(0, 4, len(recording.classes))
        return Ground(folder, planned, dataclasses.replace(recording, classes=classes))


@pytest.fixture
def ground(made: Ground, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.chdir(made.folder)
    return made


def test_it_is_called_an_approximation_everywhere_it_goes(ground: Ground) -> None:
    manifest = Manifest.read(paths.manifest(ground.planned.id, STATIC))
    assert manifest.exactness == "approximation"
    assert manifest.transforms == ("static_edges",)
    assert any("an approximation, static_edges" in note for note in manifest.contract.notes)
    extra = {"contract.json": ""}
    torch.jit.load(manifest.artifact.path, _extra_files=extra)
    assert Contract.model_validate_json(extra["contract.json"]) == manifest.contract


def test_its_damage_is_measured_and_held_against_the_limits_of_the_config(ground: Ground) -> None:
    record = ground.validate(max_score_shift=1, max_delta_auc=1)
    assert (record.status, record.exactness) == ("passed", "approximation")
    assert 1e-3 < record.max_score_shift < 0.5
    assert record.delta_auc is not None
    assert 0 < record.delta_auc < 0.1
    assert record.weights_compared == 108
    limit = record.max_score_shift * 0.9
    assert "a score shifts by" in ground.validate(max_score_shift=limit, max_delta_auc=1).reason
    assert "an AUC changes by" in ground.validate(max_score_shift=1, max_delta_auc=record.delta_auc * 0.9).reason


def test_it_fails_if_it_is_taken_for_exact_and_is_called_by_its_name(ground: Ground) -> None:
    path = paths.manifest(ground.planned.id, STATIC)
    manifest = Manifest.read(path)
    try:
        manifest.model_copy(update={"exactness": "exact"}).write(path)
        record = ground.validate(max_score_shift=1, max_delta_auc=1)
    finally:
        manifest.write(path)
    assert record.status == "failed"
    assert "events differ from the reference by up to" in record.reason
    assert "the network with this mistake: edges of the input in all layers" in record.reason


def test_its_weights_are_read_back_like_those_of_any_other(ground: Ground) -> None:
    path = paths.manifest(ground.planned.id, STATIC)
    manifest, spec = Manifest.read(path), ground.planned.template(STATIC)
    artifact = Path(manifest.artifact.path)
    content, weights = artifact.read_bytes(), torch.load(ground.folder / "0.pt")["model_state_dict"]
    try:
        load_format("torchscript").fill(Path(spec.file), with_changed_bias(weights), {}, artifact)
        facts = ArtifactFacts.of([artifact])
        manifest.model_copy(update={"artifact": facts}).write(path)
        record = ground.validate(max_score_shift=1, max_delta_auc=1)
    finally:
        artifact.write_bytes(content)
        manifest.write(path)
    assert record.status == "failed"
    assert "weights inside are not the checkpoint's: 'output.bias' (1 of 4 values" in record.reason


@pytest.mark.parametrize("method", ["trace", "script"])
def test_it_is_the_network_with_static_edges_scripted_or_traced(method: str) -> None:
    """It equals the trained network where every pair is an edge, and no more where it is not."""
    from modelferry.families.charged_higgs_particlenet import mistakes as broken

    family = load_family("charged_higgs_particlenet")
    reference, contract = family.reference({"hidden": 8}).eval(), family.contract({"hidden": 8}, "flat")
    static = family.deployable({"hidden": 8}, "flat", frozenset({"static_edges"})).eval()
    static.load_state_dict(reference.state_dict())
    call = torch.jit.script(static) if method == "script" else static
    mistaken = family.reference({"hidden": 8}).eval()
    mistaken.load_state_dict(reference.state_dict())
    mistaken = broken.static_edges(mistaken)
    for size in (1, 4, 5, 9, 20):
        inputs = family.collate(family.sample({"events": 3, "particles": size}, size), "flat")
        tensors = [torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs]
        with torch.inference_mode():
            found, truth, expected = call(*tensors), reference(*tensors), mistaken(*tensors)
        assert (found - expected).abs().max() < 2e-6
        assert ((found - truth).abs().max() < 2e-6) == (size <= 5)
