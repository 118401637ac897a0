"""What a certificate proves of a template, and what is seen in single artifacts of models that inherit it."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from checkpoint_samples import save_checkpoint
from made_once import made_once
from modelferry.config.file import parse_config
from modelferry.core import paths
from modelferry.families.weights import trained_weights
from modelferry.formats import load_format
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.records import ArtifactFacts
from modelferry.records.certificate import Certificate
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation
from modelferry.runtimes import runtimes_of
from modelferry.stages.export.artifact import export_model
from modelferry.stages.export.template import build_template
from modelferry.stages.validation.certification import certify
from modelferry.stages.validation.changed_weights import WEIGHT
from modelferry.stages.validation.model import validate_model
from modelferry.stages.validation.reference import record_reference
from modelferry.stages.validation.stage import certificate_of
from modelferry.stages.validation.weight_sets import SPREADS, draw_weight_sets, stand_ins

FORMATS = ("torchscript", "torch_export", "aotinductor", "onnx")
CASES = [(name, runtime) for name in FORMATS for runtime in load_format(name).runtimes]
MODELS = 4
Weights = dict[str, torch.Tensor]


def plan(**validation: Any) -> Plan:
    campaign = {
        "family": "charged_higgs_particlenet", "axes": {"fold": list(range(MODELS))}, "checkpoint": "weights/{fold}.pt",
        "formats": [{"format": name, "layout": "dense", "name": name} for name in FORMATS],
        "hyperparameters": {"hidden": 8}, "validation": {"events": 200, **validation},
    }  # fmt: skip
    return Plan(parse_config({"campaigns": {"higgs": campaign}}))


@dataclasses.dataclass(frozen=True)
class Certified:
    """A folder with four models, whose templates are certified; the reference of the first is recorded."""

    folder: Path

    def validate(self, name: str, runtime: str, planned: PlannedModel | None = None) -> Validation:
        planned = planned or plan().model("higgs/fold-0")
        return validate_model(planned, [name], [], anew=False)(name, runtime, planned.tolerance(name))

    def replace(self, name: str, make: Callable[[Path], None]) -> None:
        """Export the first model and put other bytes in its place, behind the back of the manifest."""
        planned = plan().model("higgs/fold-0")
        manifest = export_model(planned, name)
        path = Path(manifest.artifact.path)
        make(path)
        altered = manifest.model_copy(update={"artifact": ArtifactFacts.of(load_format(name).files(path))})
        altered.write(paths.manifest(planned.id, name))

    def fill(
        self, name: str, change: Callable[[Weights], Weights], model: str = "higgs/fold-0"
    ) -> Callable[[Path], None]:
        planned = plan().model(model)
        spec = planned.template(name)
        trained = trained_weights(planned.family, planned.hyperparameters, planned.model.checkpoint)
        weights = planned.family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
        return lambda path: load_format(name).fill(Path(spec.file), change(dict(weights)), {"model": model}, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        with contextlib.chdir(folder):
            for fold in range(MODELS):
                save_checkpoint(folder / f"weights/{fold}.pt", 8, salt=str(fold))
            found = plan()
            assert len(found.certified) == len(FORMATS)
            planned = found.prototype(next(iter(found.models.values())).architecture)
            assert len(list(draw_weight_sets(planned))) == 2 * len(SPREADS)
            for key, (planned, export) in found.certified.items():
                build_template(found.templates[key])
                for stand_in in stand_ins(planned):
                    export_model(stand_in, export)
                for runtime in runtimes_of(export):
                    certify(planned, export, runtime).write(paths.certificate(key, runtime))
            first = found.model("higgs/fold-0")
            record_reference(first, thorough=False).write(paths.reference(first.id))

    return made_once(tmp_path_factory, "certified", make)


@pytest.fixture
def certified(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certified]:
    folder = tmp_path / "a copy"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return Certified(folder)


def certificate(name: str, runtime: str) -> Certificate:
    return Certificate.read(paths.certificate(plan().model("higgs/fold-0").template(name).key, runtime))


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, runtime = request.param
    if runtime not in runtimes_of(name) or load_format(name).unavailable():
        pytest.skip(f"{name} in {runtime} does not run here")
    return name, runtime


def test_certificate_holds_a_full_validation_for_each_set_of_weights(
    certified: Certified, case: tuple[str, str]
) -> None:
    found = certificate(*case)
    assert (found.status, found.reason) == ("passed", "")
    assert len(found.validations) == len(SPREADS) >= 3
    for validation in found.validations:
        assert validation.status == "passed"
        assert len(validation.controls) >= 9
        assert all(control.detected for control in validation.controls)
        assert validation.outside
        assert len([point for point in validation.shapes if point.sizes]) > 20
        assert validation.certificate == ""
    assert len({validation.artifact_sha256 for validation in found.validations}) == len(SPREADS)


def test_sets_of_weights_are_very_different(certified: Certified) -> None:
    weights = [torch.load(stand_in.model.checkpoint) for stand_in in stand_ins(plan().model("higgs/fold-0"))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for name, tensor in weights[one].items():
            if tensor.is_floating_point():
                assert not torch.equal(tensor, weights[other][name]) or tensor.unique().numel() == 1, name
    assert all((tensor > 0).all() for state in weights for name, tensor in state.items() if name.endswith("_var"))


def test_model_inherits_what_its_certificate_proves(certified: Certified, case: tuple[str, str]) -> None:
    name, runtime = case
    planned = plan().model("higgs/fold-0")
    export_model(planned, name)
    record = certified.validate(name, runtime)
    assert (record.status, record.reason) == ("passed", "")
    assert record.certificate == paths.certificate(planned.template(name).key, runtime)
    assert record.events >= 200
    assert record.weights_compared > 30
    assert [control.name for control in record.controls] == [WEIGHT]
    assert record.controls[0].detected
    assert not record.outside
    assert not any(point.sizes for point in record.shapes)


@pytest.mark.parametrize("doubted", ["nothing", "thorough", "failed certificate", "other template"])
def test_certificate_that_proves_nothing_here_does_not_count(certified: Certified, doubted: str) -> None:
    planned = plan(thorough=doubted == "thorough").model("higgs/fold-0")
    path = Path(paths.certificate(planned.template("onnx").key, "onnxruntime"))
    if doubted == "failed certificate":
        Certificate.read(path).model_copy(update={"status": "failed", "reason": "no"}).write(path)
    elif doubted == "other template":
        Certificate.read(path).model_copy(update={"template_sha256": "0" * 64}).write(path)
    export_model(planned, "onnx")
    assert bool(certificate_of(planned, "onnx", "onnxruntime")) == (doubted == "nothing")


def test_everything_is_proven_of_a_model_without_a_certificate(certified: Certified) -> None:
    planned = plan().model("higgs/fold-0")
    Path(paths.certificate(planned.template("onnx").key, "onnxruntime")).unlink()
    export_model(planned, "onnx")
    record = certified.validate("onnx", "onnxruntime", planned)
    assert record.status == "passed"
    assert record.certificate == ""
    assert len(record.controls) >= 9
    assert record.outside


def bit(weights: Weights) -> Weights:
    """Flip the last bit of one weight."""
    name = next(name for name, tensor in weights.items() if tensor.dim() == 2)
    changed = weights[name].clone()
    changed.view(-1)[5:6].view(torch.int32)[0] ^= 1
    return {**weights, name: changed}


def test_one_bit_of_a_weight_is_seen(certified: Certified, case: tuple[str, str]) -> None:
    name, runtime = case
    certified.replace(name, certified.fill(name, bit))
    record = certified.validate(name, runtime)
    assert record.certificate
    assert record.status == "failed"
    assert "weights inside are not the checkpoint's" in record.reason


@pytest.mark.parametrize(
    ("equal_weights", "told"),
    [
        (False, "weights inside are not the checkpoint's"),
        (True, "it is not its template with the weights of the checkpoint, byte for byte"),
    ],
)
def test_file_of_another_model_under_this_name_is_seen(
    certified: Certified, case: tuple[str, str], equal_weights: bool, told: str
) -> None:
    """If the weights are equal, nothing but the name inside differs."""
    name, runtime = case
    if equal_weights:
        shutil.copy("weights/0.pt", "weights/1.pt")
    certified.replace(name, certified.fill(name, dict, "higgs/fold-1"))
    record = certified.validate(name, runtime)
    assert record.status == "failed"
    assert told in record.reason


def test_graph_of_another_template_with_the_right_weights_is_seen(certified: Certified, case: tuple[str, str]) -> None:
    """The graph has another number of neighbours: its weights are those of the checkpoint, bit by bit."""
    name, runtime = case
    if name == "aotinductor":
        pytest.skip("compiling once more takes half a minute; the bytes are compared as those of the other formats")
    planned = plan().model("higgs/fold-0")
    spec, family, target = planned.template(name), planned.family, load_format(name)
    other = certified.folder / f"other.{target.extension}"
    contract = family.contract(spec.hyperparameters, spec.layout)
    deployable = family.rewritten(spec.hyperparameters, spec.layout, spec.transforms).eval()
    layers = [module for module in deployable.modules() if hasattr(module, "neighbours")]
    assert layers
    for layer in layers:
        layer.neighbours -= 1
    example = family.collate(family.sample(family.call_sizes(contract), 3), spec.layout)
    target.build_template(deployable, contract, example, spec.options, other)
    trained = trained_weights(family, planned.hyperparameters, planned.model.checkpoint)
    weights = family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
    certified.replace(name, lambda path: target.fill(other, weights, {"model": planned.id}, path))
    record = certified.validate(name, runtime)
    assert record.status == "failed"
    assert "byte for byte" in record.reason
    assert "events differ from the reference" in record.reason


def test_altered_template_is_no_proof(certified: Certified) -> None:
    planned = plan().model("higgs/fold-0")
    export_model(planned, "onnx")
    template = Path(planned.template("onnx").file)
    template.write_bytes(template.read_bytes() + b"\0")
    record = certified.validate("onnx", "onnxruntime")
    assert record.status == "failed"
    assert "was altered after it was built" in record.reason


def test_stale_constant_fails_the_certificate(certified: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that leaves one weight as it was in the template passes for the weights that it was built with only."""
    target = load_format("onnx")
    whole = type(target).fill

    def stale(self: Any, template: Path, weights: Weights, metadata: Any, out: Path) -> None:
        name = next(name for name, tensor in weights.items() if tensor.dim() == 2)
        whole(self, template, {**weights, name: torch.full_like(weights[name], 0.01)}, metadata, out)

    monkeypatch.setattr(type(target), "fill", stale)
    planned = plan().model("higgs/fold-0")
    for stand_in in stand_ins(planned):
        export_model(stand_in, "onnx")
    found = certify(planned, "onnx", "onnxruntime")
    assert found.status == "failed"
    assert "weights 0: weights inside are not the checkpoint's" in found.reason


def test_manifest_is_of_the_template_that_was_certified(certified: Certified) -> None:
    planned = plan().model("higgs/fold-0")
    manifest = export_model(planned, "onnx")
    assert manifest.template_sha256 == certificate("onnx", "onnxruntime").template_sha256
    assert Manifest.read(paths.manifest(planned.id, "onnx")).artifact.intact
