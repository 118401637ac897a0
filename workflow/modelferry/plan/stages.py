"""The stages of the workflow: rule, module, record, and the name under which a failure is kept. The one table of them.

Reruns, report, commands and schemas read it. A rule is called like its stage, or starts with its name where there is
one for each campaign, family or format.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelferry.records import Record
from modelferry.records.benchmark import Benchmark
from modelferry.records.certificate import Certificate
from modelferry.records.demo import DemoTraining
from modelferry.records.embeddings import EmbeddedFile, Embeddings, Exploration
from modelferry.records.export import Manifest, Template
from modelferry.records.outcome import Outcome
from modelferry.records.summary import Summary
from modelferry.records.validation import Validation


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow.

    Attributes
    ----------
    module
        Does the work: what it imports is the stage's code. Empty where a family's demo, a runtime or the gate does.
    records
        The JSON files that it writes.
    failure
        Folder of its failures below ``logs/failures``, and the stage's name in them; empty if it keeps none.
    chunk
        Kind of the chunks that hold its jobs on a cluster (`plan.chunks`).
    """

    rule: str
    module: str = ""
    records: tuple[type[Record], ...] = ()
    failure: str = ""
    chunk: str = "report"

    def log(self, subject: str) -> str:
        """Return the log of the stage's job for a model, or for what else it is about, as its rule names it."""
        return f"logs/{self.rule}/{subject}.log"


DEMO_EVENTS = Stage("demo_events", chunk="shared")
DEMO = Stage("demo_train", "", (DemoTraining,), "demo", chunk="models")
TEMPLATE = Stage("template", "modelferry.stages.export.template", (Outcome, Template), "template", chunk="shared")
WEIGHT_SETS = Stage(
    "weight_sets", "modelferry.stages.validation.weight_sets", (Outcome,), "weight_sets", chunk="shared"
)
CERTIFY = Stage(
    "certify", "modelferry.stages.validation.certification", (Outcome, Certificate), "certify", chunk="shared"
)
EXPORT = Stage("export", "modelferry.stages.export.artifact", (Outcome, Manifest), "export", chunk="models")
BUILD_CPP = Stage("build_cpp", "", (Outcome,), "build_cpp", chunk="shared")
VALIDATE = Stage("validate", "modelferry.stages.validation.model", (Outcome, Validation), "validate", chunk="models")
BENCHMARK = Stage(
    "benchmark", "modelferry.stages.benchmark.stage", (Outcome, Benchmark), "benchmark", chunk="benchmarks"
)
EMBED = Stage("embed", "modelferry.stages.embeddings.stage", (EmbeddedFile,), "embed", chunk="embeddings")
COLLECT = Stage("collect_embeddings", "modelferry.stages.embeddings.tables", (Embeddings,), "embed", chunk="embeddings")
EXPLORE = Stage("explore", "modelferry.stages.embeddings.explore", (Exploration,), "explore", chunk="explorations")
REPORT = Stage("report", "modelferry.stages.report.stage", (Summary,))
GATE = Stage("gate")

STAGES = (
    DEMO_EVENTS, DEMO, TEMPLATE, BUILD_CPP, WEIGHT_SETS, CERTIFY, EXPORT, VALIDATE, BENCHMARK, EMBED, COLLECT, EXPLORE,
    REPORT, GATE,
)  # fmt: skip
"""All stages, in the order in which they run."""
OF_MODELS = (DEMO, TEMPLATE, EXPORT, VALIDATE, BENCHMARK)
"""Stages whose failures are a model's, or an export's of a model."""
