"""What is planned: which templates, which exports, and what decides that they are made again."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from checkpoint_samples import formula_state
from modelferry.config import Config
from modelferry.core import environment
from modelferry.plan import Plan, models, reruns, templates
from modelferry.plan.models import PlannedModel
from modelferry.plan.reasons import Reasons, changed
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
    exports = {name: reruns.export(model) for name, model in before.models.items()}
    templates = {key: reruns.template(spec) for key, spec in before.templates.items()}
    torch.save(formula_state(16, "new"), "fold1.pt")
    after = plan()
    assert {key: reruns.template(spec) for key, spec in after.templates.items()} == templates
    changed = [name for name, model in after.models.items() if reruns.export(model) != exports[name]]
    assert changed == ["higgs/fold-1"]


def parameters(found: Plan) -> Iterator[tuple[str, Reasons]]:
    """Yield the parameters of all kinds of jobs."""
    yield from ((f"template {spec.format}", reruns.template(spec)) for spec in found.templates.values())
    yield "report", reruns.report(found.models)
    for model in found.models.values():
        yield f"weight_sets {model.id}", reruns.weight_sets(model)
        yield f"export {model.id}", reruns.export(model)
        yield f"validate {model.id}", reruns.validate(model)
        yield f"benchmark {model.id}", reruns.benchmark(model, swept=False)
        for export in model.exports:
            yield f"certify {model.id} {export.name}", reruns.certify(model, export.name)


def test_parameters_are_plain_strings_by_name_so_that_snakemake_can_compare_and_reasons_read_them() -> None:
    for _, params in parameters(plan()):
        assert params["code"]
        assert ast.literal_eval(repr(params)) == params
        assert {type(value) for values in params.values() for value in values.values()} == {str}
        assert str(Path.cwd()) not in repr(params)


def changed_jobs(before: dict[str, Reasons], after: dict[str, Reasons]) -> dict[str, list[str]]:
    return {job: list(changed(before[job], after[job])) for job in before if before[job] != after[job]}


def test_changed_setting_is_named_with_both_values() -> None:
    before = dict(parameters(plan()))
    now = dict(parameters(plan(validation={"tolerances": {"onnx": {"rtol": 0.5}}})))
    told = changed_jobs(before, now)
    assert set(told) == {f"validate higgs/fold-{fold}" for fold in range(3)}
    for reasons in told.values():
        assert reasons == ["config: validation.onnx-dense.rtol 1e-05 → 0.5"]
    told = changed_jobs(before, dict(parameters(plan(benchmark={"seconds": 0.5}))))
    assert told == {f"benchmark higgs/fold-{fold}": ["config: benchmark.seconds 0.2 → 0.5"] for fold in range(3)}


def test_changed_code_of_a_tolerance_in_the_plan_validates_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages import no plan; what its methods give them is among the parameters."""
    before = dict(parameters(plan()))
    own = PlannedModel.tolerance
    halved = lambda self, name: own(self, name).model_copy(update={"atol": own(self, name).atol / 2})  # noqa: E731
    monkeypatch.setattr(PlannedModel, "tolerance", halved)
    told = changed_jobs(before, dict(parameters(plan())))
    assert {job.split()[0] for job in told} == {"validate"}
    assert len(told) == sum(job.startswith("validate") for job in before)


def test_changed_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(parameters(plan()))
    real = environment._version
    monkeypatch.setattr(environment, "_version", lambda name: "99.0" if name == "onnxruntime" else real(name))
    told = changed_jobs(before, {job: params for job, params in parameters(plan()) if job in before})
    assert {job.split()[0] for job in told} >= {"validate", "benchmark"}
    assert all(re.fullmatch(r"versions: onnxruntime \S+ → 99\.0", reason) for (reason,) in told.values())
