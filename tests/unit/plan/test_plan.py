"""What is planned: which templates, which exports, and what decides that they are made again."""

from pathlib import Path

import pytest
import torch

from checkpoint_samples import formula_state
from modelferry.config import Config
from modelferry.plan import Plan, models, reruns, templates
from modelferry.runtimes import lacking
from modelferry.stages.report.collect import collect

FORMATS = [
    {"format": "torchscript", "layout": "flat"},
    {"format": "onnx", "layout": "dense"},
    {"format": "aotinductor", "layout": "dense"},
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for fold in range(3):
        torch.save(formula_state(16, str(fold)), f"fold{fold}.pt")
    models.unavailable.cache_clear()
    lacking.cache_clear()
    templates._template_spec.cache_clear()
    yield tmp_path
    models.unavailable.cache_clear()
    lacking.cache_clear()
    templates._template_spec.cache_clear()


def plan(**changes: object) -> Plan:
    campaign = {
        "family": "charged_higgs_particlenet",
        "axes": {"fold": [0, 1, 2]},
        "checkpoint": "fold{fold}.pt",
        "formats": FORMATS,
        **changes,
    }
    return Plan(Config.model_validate({"campaigns": {"higgs": campaign}}))


def test_models_of_one_architecture_share_a_template_per_format() -> None:
    assert len(plan().templates) == len(FORMATS)


def test_another_width_in_one_checkpoint_gets_templates_of_its_own() -> None:
    torch.save(formula_state(24), "fold1.pt")
    found = plan()
    assert len(found.templates) == 2 * len(FORMATS)
    assert [model.hyperparameters["hidden"] for model in found.models.values()] == [16, 24, 16]


@pytest.mark.parametrize(
    "change",
    [
        {"transforms": "none"},
        {"transforms": {"fold_batch_norm": False}},
        {"layout": "flat"},
        {"options": {"isa": "avx2"}},
    ],
)
def test_what_is_compiled_decides_the_template(change: dict[str, object]) -> None:
    two = [{**FORMATS[2], "name": "one"}, {**FORMATS[2], **change, "name": "other"}]
    assert len(plan(formats=two).templates) == 2


def test_another_instruction_set_needs_another_template_where_one_is_compiled_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {spec.format: spec.variant for spec in plan().templates.values()}
    monkeypatch.setattr("modelferry.core.environment.isa", lambda: "made-up")
    templates._template_spec.cache_clear()
    after = {spec.format: spec.variant for spec in plan().templates.values()}
    assert before["aotinductor"] != after["aotinductor"]
    assert before["onnx"] == after["onnx"]


def test_without_a_compiler_the_other_formats_are_planned_and_the_report_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = plan()
    assert {spec.format for spec in found.templates.values()} == {"torchscript", "onnx"}
    assert not any("aotinductor" in target for target in found.targets())
    summary, _ = collect(found)
    assert summary.runtimes_not_run == {"cpp": "no C++ compiler; install g++ and cmake"}
    assert not any("cpp" in target for target in found.targets())
    assert summary.verdict == "failed"
    for model in summary.models:
        assert "aotinductor-dense: " in model.reason
        assert "no-such-compiler" in model.reason
        assert "apt install g++" in model.reason


def test_changing_a_checkpoint_changes_its_export_and_no_template() -> None:
    before = plan()
    exports = {name: reruns.export(model, "onnx-dense") for name, model in before.models.items()}
    templates = {key: reruns.template(spec) for key, spec in before.templates.items()}
    torch.save(formula_state(16, "new"), "fold1.pt")
    after = plan()
    assert {key: reruns.template(spec) for key, spec in after.templates.items()} == templates
    changed = [name for name, model in after.models.items() if reruns.export(model, "onnx-dense") != exports[name]]
    assert changed == ["higgs/fold-1"]


def test_parameters_are_strings_with_distinct_prefixes() -> None:
    found = plan()
    model = next(iter(found.models.values()))
    for params in (
        reruns.export(model, "onnx-dense"),
        reruns.reference(model),
        reruns.validate(model, "onnx-dense", "onnxruntime"),
        reruns.benchmark(model),
        reruns.report(found.models),
    ):
        prefixes = [text.partition(":")[0] for text in params]
        assert len(set(prefixes)) == len(prefixes)
        assert all(isinstance(text, str) and ":" in text for text in params)
