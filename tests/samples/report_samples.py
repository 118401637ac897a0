"""Summaries made up for the tests of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.core.model import Environment, Exactness, Status
from modelferry.core.tolerances import Tolerance
from modelferry.records.summary import (
    Summary,
    SummaryArtifact,
    SummaryBenchmark,
    SummaryCheckpoint,
    SummaryControl,
    SummaryModel,
    SummaryTemplate,
    SummaryValidation,
)
from modelferry.stages.report.blocks import markdown
from modelferry.stages.report.embeddings import Explored
from modelferry.stages.report.first_page import compose

ARCHITECTURE = "a1b2c3d4e5f6" * 5 + "0123"
FEATURES = ("E", "Px", "Py", "Pz", "charge", "isMuon", "isElectron", "isJet", "isBjet")
FLAT = Contract(
    layout="flat",
    inputs=(
        Tensor(name="x", dtype="float32", shape=("nodes", 9), features=FEATURES, unit="GeV",
               description="particles of all events"),
        Tensor(name="edge_index", dtype="int64", shape=(2, "edges"), description="edges of the first layer"),
        Tensor(name="graph_input", dtype="float32", shape=("events", 4), description="one-hot era"),
        Tensor(name="batch", dtype="int64", shape=("nodes",), description="event of each particle, sorted"),
    ),
    outputs=(Tensor(name="logits", dtype="float32", shape=("events", 4), description="logits of the classes"),),
    dimensions=(
        Dimension(name="nodes", minimum=1, typical=20, maximum=2560),
        Dimension(name="edges", minimum=0, typical=80, maximum=10240),
        Dimension(name="events", minimum=1, typical=1, maximum=64),
    ),
    classes=("signal", "nonprompt", "diboson", "ttZ"),
    notes=("Edges run from the centre (row 0) to its four nearest in ΔR (row 1), as in training.",),
)  # fmt: skip
SPEED = {"eager": 3.1, "torchscript": 1.7, "onnx": 0.751, "aotinductor": 0.62}


def validation(runtime: str = "pytorch", diff: float = 4.8e-7, status: Status = "passed", reason: str = "",
               delta_auc: float | None = -2.1e-8) -> SummaryValidation:  # fmt: skip
    return SummaryValidation(
        runtime=runtime, status=status, reason=reason, events=1024, tolerance=Tolerance(), max_abs_diff=diff,
        max_rel_diff=diff * 3.3, max_ulps=round(diff / 1.2e-7), smallest_rtol=diff / 2, error_float64=diff * 1.1,
        reference_error_float64=9.3e-7, error_ratio_float64=diff * 1.1 / 9.3e-7,
        error_rms=1.2, error_max=diff * 1.1 / 2.3e-7, allowed_share=diff * 1.1 / 2.8e-6, argmax_flips=0,
        max_score_shift=diff / 4, ill_conditioned=0, delta_auc=delta_auc, weights_compared=108, labelled_events=0,
        labelled_argmax_flips=0, labelled_max_score_shift=0.0, class_pairs=(), properties=(),
    )  # fmt: skip


def latency(runtime: str, p50: float, batch: int = 1, particles: int | None = 20) -> SummaryBenchmark:
    size = 1.0 if particles is None else 0.5 + particles / 40
    time = p50 * (0.35 + 0.65 * batch) * size
    return SummaryBenchmark(
        runtime=runtime, threads=1, batch=batch, particles=particles, samples=500, p50_ms=time, p50_low_ms=time * 0.97,
        p50_high_ms=time * 1.04, p90_ms=time * 1.2, p99_ms=time * 1.7,
        baseline_p50_ms=3.1 * (0.35 + 0.65 * batch) * size,
        cold_load_ms=72.4, first_call_ms=107.2, peak_memory_mb=412.5,
    )  # fmt: skip


def sweep(runtime: str, p50: float) -> tuple[SummaryBenchmark, ...]:
    particles = tuple(latency(runtime, p50, 1, number) for number in (5, 10, 20, 40))
    return particles + tuple(latency(runtime, p50, batch) for batch in (4, 16, 64))


def artifact(identity: str, format_: str = "torchscript", runtimes: tuple[str, ...] = ("pytorch",),
             exactness: Exactness = "exact", sha256: str = "b" * 64, diff: float = 4.8e-7,
             timed: bool = True) -> SummaryArtifact:  # fmt: skip
    return SummaryArtifact(
        format=format_, export=format_, layout="flat", path=f"results/{identity}/{format_}/model.pt", bytes=1_143_210,
        sha256=sha256, exactness=exactness, transforms=(),
        validation=tuple(validation(runtime, diff * (1 + 0.4 * n)) for n, runtime in enumerate(runtimes)),
        benchmark=tuple(row for n, r in enumerate(runtimes) for row in sweep(r, SPEED[format_] * (1 - 0.1 * n)))
        if timed else (),
    )  # fmt: skip


def model(channel: str = "Run1E2Mu", signal: str = "MHc130_MA90", fold: int = 0, campaign: str = "charged_higgs",
          formats: tuple[str, ...] = ("torchscript",), runtimes: tuple[str, ...] = ("pytorch",), demo: bool = True,
          timed: bool = True, diff: float = 4.8e-7) -> SummaryModel:  # fmt: skip
    identity = f"{campaign}/{channel}/{signal}/fold-{fold}"
    return SummaryModel(
        id=identity, campaign=campaign, family="charged_higgs_particlenet",
        axes={"channel": channel, "signal": signal, "fold": fold}, status="passed", reason="", demo=demo,
        checkpoint=SummaryCheckpoint(path=f"demo/{identity}.pt", sha256="c" * 64), architecture=ARCHITECTURE,
        parameters=272_807, hyperparameters={"hidden": 128, "neighbours": 4, "dropout": 0.25},
        training_auc={"nonprompt": 0.913, "diboson": 0.942, "ttZ": 0.887} if demo else {},
        baseline=sweep("pytorch", SPEED["eager"]) if timed else (),
        artifacts=tuple(artifact(identity, f, runtimes, timed=timed, diff=diff) for f in formats),
    )  # fmt: skip


def failed(found: SummaryModel, reason: str) -> SummaryModel:
    broken = found.artifacts[0].model_copy(
        update={"validation": (validation(diff=0.25, status="failed", reason=reason),)}
    )
    return found.model_copy(update={"status": "failed", "reason": reason, "artifacts": (broken,)})


def missing(found: SummaryModel, reason: str) -> SummaryModel:
    gone = {"status": "missing", "reason": reason, "artifacts": (), "baseline": (), "parameters": None,
            "checkpoint": found.checkpoint.model_copy(update={"sha256": ""})}  # fmt: skip
    return found.model_copy(update=gone)


def six(diff: float = 2.4e-7, **options: object) -> list[SummaryModel]:
    return [
        model(channel, signal, diff=diff * (1 + number), **options)  # type: ignore[arg-type]
        for number, (channel, signal) in enumerate(
            (channel, signal)
            for channel in ("Run1E2Mu", "Run3Mu")
            for signal in ("MHc100_MA95", "MHc130_MA90", "MHc160_MA85")
        )
    ]


def summary(models: list[SummaryModel], detected: bool = True, torch: str = "2.13.0") -> Summary:
    good = all(found.status == "passed" for found in models) and detected
    return Summary(
        verdict="passed" if good else "failed", generated="2026-11-21T22:00:00Z",
        environment=Environment(python="3.11.9", platform="Linux-6.1-x86_64", cpu="AMD EPYC 7B13", isa="avx2", cores=2,
                                load_average=0.31,
                                packages={"torch": torch, "torch_geometric": "2.8.0", "numpy": "2.3.1"}),
        templates=(SummaryTemplate(architecture=ARCHITECTURE, format="torchscript", layout="flat", seconds=3.42,
                                   models=len(models)),),
        controls=(SummaryControl(name="one weight changed", detected=True),
                  SummaryControl(name="edges reversed", detected=detected),
                  SummaryControl(name="two features swapped", detected=True)),
        models=tuple(models),
    )  # fmt: skip


def rendered(
    found: Summary, contracts: Mapping[str, Contract] | None = None, explored: Sequence[Explored] = ()
) -> dict[str, str]:
    """Return the pages of a report as Markdown, by the name of their file."""
    pages = compose(found, CONTRACTS if contracts is None else contracts, [], [], explored)
    return {name: f"{markdown(content)}\n" for name, content in pages.items()}


CONTRACTS = {"charged_higgs/flat": FLAT, "other/flat": FLAT}
