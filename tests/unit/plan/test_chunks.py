"""Runs in chunks: what is in which, which comes after which, and which node may work on one."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
import yaml

from chunk_samples import byte_cnns, save_byte_cnn
from modelferry.config.file import parse_config
from modelferry.config.sections import Export
from modelferry.core import environment
from modelferry.core.errors import ConfigError, ModelferryError
from modelferry.families import load_family
from modelferry.formats import load_format
from modelferry.plan import Plan, chunks, templates
from modelferry.plan.stages import BENCHMARK, EXPORT, STAGES, VALIDATE
from modelferry.records.chunks import Chunk, Chunks

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        save_byte_cnn(Path(f"weights/fold-{number}.pth"), number)
    return Plan(parse_config(byte_cnns(12)))


def everything(plan: Plan) -> dict[str, str]:
    """Return the files of a fresh run with their rules."""
    of_models = {
        planned.outcome(stage): stage.rule
        for planned in plan.runnable.values()
        for stage in (EXPORT, VALIDATE, BENCHMARK)
    }
    templates = {spec.outcome: f"template_{spec.format}" for spec in plan.templates.values()}
    return {**templates, **of_models, "reports/summary.md": "report", "reports/gate.passed": "gate"}


def divided(plan: Plan, **most: int) -> dict[str, Chunk]:
    return chunks.divide(plan, everything(plan), most)


def test_every_file_is_in_one_chunk(plan: Plan) -> None:
    made = [file for chunk in divided(plan, models=3, benchmarks=2).values() for file in chunk.files]
    assert sorted(made) == sorted(everything(plan))


def test_the_number_of_chunks_does_not_grow_with_the_models(plan: Plan) -> None:
    names = [*divided(plan, models=2, benchmarks=1)]
    assert names == ["shared-1", "models-1", "models-2", "benchmarks-1", "report-1"]


def test_a_few_models_are_one_chunk_however_many_are_allowed(plan: Plan) -> None:
    pending = {file: rule for file, rule in everything(plan).items() if "fold-7" in file or "reports" in file}
    assert [*chunks.divide(plan, pending, {"models": 8, "benchmarks": 8})] == ["models-1", "benchmarks-1", "report-1"]


def test_what_is_of_one_model_is_in_one_chunk(plan: Plan) -> None:
    for chunk in divided(plan, models=3).values():
        for planned in plan.runnable.values():
            assert (planned.outcome(EXPORT) in chunk.files) == (planned.outcome(VALIDATE) in chunk.files)


def test_benchmarks_come_after_the_chunks_of_their_models_only(plan: Plan) -> None:
    found = divided(plan, models=3, benchmarks=1)
    assert found["models-2"].after == ("shared-1",)
    assert found["benchmarks-1"].after == ("shared-1", "models-1", "models-2", "models-3")
    assert found["report-1"].after == tuple(name for name in found if name != "report-1")


def test_nothing_to_do_is_no_chunk(plan: Plan) -> None:
    assert chunks.divide(plan, {}, {"models": 8}) == {}


def test_every_stage_is_in_chunks_of_a_kind_that_there_is() -> None:
    assert {stage.chunk for stage in STAGES} <= chunks.KINDS.keys()


class Workflow:
    def __init__(self, **most: int) -> None:
        self.resource_settings: Any = type("Settings", (), {"overwrite_scatter": most})()


def test_a_kind_that_is_not_divided_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="there is no 'model'; did you mean 'models'"):
        chunks.most_chunks(Workflow(model=3))
    assert chunks.most_chunks(Workflow(models=3)) == {"models": 3}


def made_for(isa: str, **lacking: str) -> Chunks:
    return Chunks(isa=isa, lacking=lacking, chunks={})


def test_a_node_with_fewer_instructions_says_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_cpu_flags", lambda: environment.ISAS["avx2"])
    chunks.check_node(made_for("avx2"), plan.config)
    with pytest.raises(ModelferryError, match=f"node {platform.node()} has avx2, and this run compiles for avx512"):
        chunks.check_node(made_for("avx512"), plan.config)


def test_a_node_that_lacks_what_the_run_was_planned_with_says_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "unavailable", lambda name: f"format {name} needs a compiler")
    isa = environment.isa()
    chunks.check_node(made_for(isa, **{"format python": "the planning machine lacks it too"}), plan.config)
    with pytest.raises(ModelferryError, match=r"lacks what this run was planned with: format python needs a compiler$"):
        chunks.check_node(made_for(isa), plan.config)


@pytest.mark.parametrize("has", ["avx2", "avx512", "avx512_vnni"])
def test_paths_do_not_depend_on_the_node_that_plans(monkeypatch: pytest.MonkeyPatch, has: str) -> None:
    monkeypatch.setenv(environment.ISA, "avx2")
    monkeypatch.setattr(environment, "_cpu_flags", lambda: environment.ISAS[has])
    templates._template_spec.cache_clear()
    compiled = load_format("aotinductor")
    assert compiled.built_for(compiled.resolve_options({})) == "avx2"
    network = load_family("charged_higgs_particlenet")
    export = Export(format="aotinductor", layout="dense")
    key = templates.template_spec(network.name, network.hyperparameters, export).key
    asked = Export(format="aotinductor", layout="dense", options={"isa": "avx2"})
    monkeypatch.delenv(environment.ISA)
    templates._template_spec.cache_clear()
    native = templates.template_spec(network.name, network.hyperparameters, export).key
    assert (key == native) == (has == "avx2"), "without a run on several machines, native is this CPU"
    assert templates.template_spec(network.name, network.hyperparameters, asked).key != key


@pytest.mark.parametrize("name", ["slurm", "htcondor"])
@pytest.mark.parametrize("models", [60, 600])
def test_hundreds_of_models_are_at_most_twelve_jobs_with_the_profiles_as_they_are(
    plan: Plan, name: str, models: int
) -> None:
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
    most = dict(entry.split("=") for entry in profile["set-scatter"])
    assert most.keys() <= set(chunks.DIVIDED)
    rules = ("export", "validate", "benchmark", "certify", "template_onnx", "report")
    pending = {f"results/{number}/{rule}": rule for number in range(models) for rule in rules}
    found = chunks.divide(plan, pending, {kind: int(count) for kind, count in most.items()})
    assert len(found) <= 12
    assert sum(len(chunk.files) for chunk in found.values()) == len(pending)
