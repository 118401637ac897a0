"""Cold starts: load and call once, in a fresh process that holds nothing but the artifact's own runtime."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core.running import peak_memory_mb
from modelferry.runtimes import ColdStart
from modelferry.stages.benchmark.cases import (
    EAGER,
    Subject,
    load_subject,
    prepare_subject,
    runtime_of_subject,
    sample_inputs,
)

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel


def cold_start(planned: PlannedModel, subject: Subject) -> ColdStart:
    """Load and call once in a fresh process; those of PyTorch come from one that has imported it and done nothing."""
    if subject.export != EAGER:
        inputs = sample_inputs(planned, subject)
        path, threads = Path(planned.artifact(subject.export)), planned.model.benchmark.threads
        if (found := runtime_of_subject(planned, subject).cold_start(path, threads, inputs)) is not None:
            return found
    context = multiprocessing.get_context("forkserver" if subject.runtime == "pytorch" else "spawn")
    if subject.runtime == "pytorch":
        context.set_forkserver_preload(["torch"])
    with context.Pool(1) as pool:
        return pool.apply(_cold_start, (planned, subject))


def _cold_start(planned: PlannedModel, subject: Subject) -> ColdStart:
    family = planned.family
    inputs = sample_inputs(planned, subject)
    if subject.export == EAGER:
        family.reference(planned.hyperparameters)
    importlib.import_module(runtime_of_subject(planned, subject).library or "modelferry")
    prepare_subject(planned, subject)
    started = time.perf_counter()
    run = load_subject(planned, family, subject, planned.model.benchmark.threads)
    loaded = time.perf_counter()
    run(inputs)
    called = time.perf_counter()
    peak = run.peak_memory_mb()
    if peak is None:  # it runs in this process
        peak = peak_memory_mb()
    return ColdStart((loaded - started) * 1e3, (called - loaded) * 1e3, peak)
