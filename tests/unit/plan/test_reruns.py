"""Whose code decides what: the files behind each job of the repository's own config, and whom an edit concerns.

A job runs again when the digest of one of its files changes; what it feeds follows. So these tests ask for files only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import modelferry
from modelferry.config import Config
from modelferry.plan import Plan, reruns
from modelferry.plan.reasons import Reasons

ROOT = Path(modelferry.__file__).parents[2]

Job = tuple[str, str, str]
"""Stage, campaign and format; empty where a job has none."""


def parameters(plan: Plan) -> Iterator[tuple[Job, Reasons]]:
    yield ("report", "", ""), reruns.report(plan.models)
    for planned in plan.models.values():
        campaign = planned.model.campaign
        yield ("demo_events", campaign, ""), reruns.demo_events(planned.model.family)
        yield ("demo_train", campaign, ""), reruns.demo(planned)
        yield ("weight_sets", campaign, ""), reruns.weight_sets(planned)
        yield ("export", campaign, ""), reruns.export(planned)
        yield ("validate", campaign, ""), reruns.validate(planned)
        yield ("benchmark", campaign, ""), reruns.benchmark(planned, swept=True)
        for export in planned.exports:
            yield ("template", campaign, export.format), reruns.template(planned.template(export.name))
            yield ("certify", campaign, export.format), reruns.certify(planned, export.name)
        if planned.model.embed:
            yield ("embed", campaign, ""), reruns.embed(planned)
            yield ("collect", campaign, ""), reruns.collect(planned)
    for campaign, models in plan.explored.items():
        yield ("explore", campaign, ""), reruns.explore(models)


@pytest.fixture(scope="module")
def jobs() -> list[tuple[Job, Reasons]]:
    return list(parameters(Plan(Config.model_validate(yaml.safe_load((ROOT / "config.yaml").read_text())))))


def concerned(jobs: list[tuple[Job, Reasons]], file: str) -> set[Job]:
    assert (ROOT / "workflow/modelferry" / file).is_file()
    return {job for job, params in jobs if file in params["code"]}


@pytest.mark.parametrize(
    ("file", "campaign"),
    [
        ("demo/digits_training.py", "digits"),
        ("demo/bytecnn_training.py", "edge"),
        ("demo/charged_higgs_training.py", "charged_higgs"),
        ("demo/jet_training.py", "jetclass"),
    ],
)
def test_trainer_of_a_demo_trains_that_demo_only(jobs: list[tuple[Job, Reasons]], file: str, campaign: str) -> None:
    affected = concerned(jobs, file)
    assert ("demo_train", campaign, "") in affected
    assert {name for _, name, _ in affected} == {campaign}


@pytest.mark.parametrize(
    ("file", "campaign"),
    [
        ("families/bytecnn/deployable.py", "edge"),
        ("families/bytecnn/json_file.py", "edge"),
        ("families/lightning/module.py", "digits"),
        ("families/charged_higgs_particlenet/dense.py", "charged_higgs"),
        ("families/particle_transformer/deployable.py", "jetclass"),
    ],
)
def test_network_concerns_its_campaign_only(jobs: list[tuple[Job, Reasons]], file: str, campaign: str) -> None:
    affected = concerned(jobs, file)
    assert {name for _, name, _ in affected} == {campaign}
    assert {stage for stage, _, _ in affected} >= {"template", "export", "validate", "benchmark"}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("comparison/judge.py", {"validate", "certify"}),
        ("comparison/difference.py", {"weight_sets", "certify", "validate"}),
        ("stages/validation/perturbation.py", {"weight_sets", "certify", "validate"}),
        ("stages/validation/reference.py", {"weight_sets", "certify", "validate"}),
        ("stages/validation/verdict.py", {"certify", "validate"}),
        ("stages/validation/stage.py", {"certify", "validate"}),
        ("stages/benchmark/timing.py", {"benchmark"}),
        ("stages/benchmark/stage.py", {"benchmark"}),
        ("stages/export/artifact.py", {"certify", "export"}),
        ("stages/export/template.py", {"template"}),
        ("records/validation.py", {"certify", "validate", "report", "embed", "explore"}),
        ("records/summary.py", {"report"}),
        ("stages/report/first_page.py", {"report"}),
        ("plan/models.py", {"report"}),
        ("config/sections.py", {"report"}),
        ("core/paths.py", set()),
        ("version.py", set()),
        ("__init__.py", set()),
        ("cli/main.py", set()),
        ("api/export.py", set()),
    ],
)
def test_code_concerns_the_stages_that_run_it(jobs: list[tuple[Job, Reasons]], file: str, stages: set[str]) -> None:
    assert {stage for stage, _, _ in concerned(jobs, file)} == stages


@pytest.mark.parametrize("name", ["torchscript", "torch_export", "aotinductor", "cpp", "json"])
def test_format_concerns_its_own_templates_and_what_follows(jobs: list[tuple[Job, Reasons]], name: str) -> None:
    affected = concerned(jobs, f"formats/{name}.py")
    stages = {"template", "certify", "export", "validate", "benchmark"}
    assert {stage for stage, _, _ in affected} - {"report", "embed"} == stages
    assert {format_ for _, _, format_ in affected} - {""} == {name}


def test_reader_of_demo_events_decides_the_validation(jobs: list[tuple[Job, Reasons]]) -> None:
    assert ("validate", "edge", "") in concerned(jobs, "demo/bytecnn.py")
