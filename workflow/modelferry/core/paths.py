"""Where the workflow keeps its files, relative to the folder that it runs in."""

from __future__ import annotations

RESULTS = "results"
TEMPLATES = f"{RESULTS}/templates"
RUNTIMES = f"{RESULTS}/runtimes"
REPORTS = "reports"
SUMMARY = f"{REPORTS}/summary.json"
REPORT = f"{REPORTS}/summary.md"
REPORT_PAGE = f"{REPORTS}/summary.html"
FIGURES = f"{REPORTS}/figures"
TABLES = f"{REPORTS}/tables"
COMPLETE = f"{REPORTS}/report.complete"
"""Made by the workflow when the report is of a whole run; absent beside one that was written after a failure."""
GATE = f"{REPORTS}/gate.passed"
PREVIOUS = f"{RESULTS}/.previous-reports.json"
FAILURES = "logs/failures"
STATE = ".snakemake/modelferry"
"""What the workflow keeps for itself."""
CURRENT_RUN = f"{STATE}/run"
"""Holds the name of the run that may work in this folder."""
CHUNKS = f"{STATE}/chunks"
CHUNK_LOGS = "logs/chunks"


def cpp_runner(key: str) -> str:
    """Return the path of the program that executes artifacts in C++."""
    return f"{RUNTIMES}/cpp-{key}/bin/modelferry-run"


def artifact(model: str, export: str, extension: str) -> str:
    """Return the path of the file that ships."""
    return f"{RESULTS}/{model}/{export}/model.{extension}"


def outcome(subject: str, stage: str) -> str:
    """Return the path of what a stage left of a model, or of a template."""
    return f"{RESULTS}/{subject}/{stage}.done.json"


def manifest(model: str, export: str) -> str:
    """Return the path of the manifest beside an artifact."""
    return f"{RESULTS}/{model}/{export}/manifest.json"


def certificate(template: str, runtime: str) -> str:
    """Return the path of what was proven of a template, ``architecture/variant``, in one runtime."""
    return f"{TEMPLATES}/{template}/certificate.{runtime}.json"


def weight_set(architecture: str, number: int) -> str:
    """Return the id of what stands for a model with random weights of an architecture."""
    return f"templates/{architecture}/weights-{number}"


def reference(model: str) -> str:
    """Return the path of the recorded inputs of a model and the outputs of its reference."""
    return f"{RESULTS}/{model}/reference.npz"


def validation(model: str, export: str, runtime: str) -> str:
    """Return the path of an artifact's validation in one runtime."""
    return f"{RESULTS}/{model}/{export}/validation.{runtime}.json"


def benchmark(model: str, export: str, runtime: str) -> str:
    """Return the path of an artifact's benchmark in one runtime."""
    return f"{RESULTS}/{model}/{export}/benchmark.{runtime}.json"


def embedding_part(model: str, part: str) -> str:
    """Return the path of the embeddings of one file of jets; its record is beside it."""
    return f"{RESULTS}/{model}/embeddings/parts/{part}.parquet"


def embedding_record(model: str, part: str) -> str:
    """Return the path of the record of one file of jets."""
    return f"{RESULTS}/{model}/embeddings/parts/{part}.json"


def embedding_tables(model: str) -> str:
    """Return the folder of a model's tables of embeddings, one CSV and one parquet file a class."""
    return f"{RESULTS}/{model}/embeddings/classes"


def embeddings(model: str) -> str:
    """Return the path of the record of a model's tables of embeddings."""
    return f"{RESULTS}/{model}/embeddings/embeddings.json"


def exploration(campaign: str) -> str:
    """Return the path of the exploration of a campaign's embeddings."""
    return f"{RESULTS}/{campaign}/exploration.json"


def diagnosis(model: str, export: str) -> str:
    """Return where a diagnosis leaves the inputs of the worst event."""
    return f"{RESULTS}/{model}/{export}/diagnosis.npz"


def demo_checkpoint(family: str, model_id: str) -> str:
    """Return where the demo checkpoint of a model is made."""
    return f"{RESULTS}/demo/{family}/checkpoints/{model_id}/model.pt"


def training(checkpoint: str) -> str:
    """Return the path of the record beside a demo checkpoint."""
    return checkpoint.rpartition("/")[0] + "/training.json"


def demo_events(family: str) -> str:
    """Return the folder of a demo's generated events."""
    return f"{RESULTS}/demo/{family}/events"


def chunk_plan(run: str) -> str:
    """Return where the plan of a run in chunks lies."""
    return f"{CHUNKS}/{run}/plan.json"


def chunk(run: str, name: str) -> str:
    """Return the mark that the job of a chunk has ended."""
    return f"{CHUNKS}/{run}/{name}.done"


def failure(stage: str, model: str, export: str = "") -> str:
    """Return where a stage leaves the reason for its failure."""
    return "/".join(part for part in (FAILURES, stage, model, export) if part) + ".json"
