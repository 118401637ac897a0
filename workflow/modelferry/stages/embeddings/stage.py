"""One file of jets through one artifact: a parquet file with a row for each jet, and a record beside it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from modelferry.core import paths
from modelferry.core.cutflow import NO_OUTPUT, Counts
from modelferry.core.environment import describe
from modelferry.core.errors import ArtifactError, EventFileError
from modelferry.core.events import JetChunk
from modelferry.core.files import replacing
from modelferry.families import load_family
from modelferry.formats import load_format
from modelferry.records import FileFacts
from modelferry.records.embeddings import EmbeddedFile
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation
from modelferry.stages.embeddings.inference import Embedder

if TYPE_CHECKING:
    from modelferry.plan.embeddings import EmbeddingPlan

UNLABELLED_NAME = "unlabelled"
CHUNK = 2048
"""Jets that are in memory at a time."""
JET_COLUMNS = ("jet_sdmass", "jet_mass", "jet_pt", "jet_eta", "jet_phi")


def embed_file(planned: EmbeddingPlan, part: str, again: bool = True) -> tuple[EmbeddedFile, bool]:
    """Write the embeddings of a file of jets, and return their record and whether anything was done.

    Unless `again`, what an earlier call finished with the same artifact, data card and bytes of the file stays.

    Raises
    ------
    ArtifactError
        If the artifact is missing, is not the file that its manifest describes, or did not pass its validation.
    EventFileError
        If the file of jets is not what it should be.
    """
    source = Path(planned.files[part])
    if set(',"\n') & set(str(source)):
        raise EventFileError(f"{source}: a path with a comma or a quote cannot be part of a CSV file", "rename it")
    manifest = Manifest.read(paths.manifest(planned.id, planned.export))
    _check(manifest)
    validated = _validated(planned, manifest)
    record_path = Path(paths.embedding_record(planned.id, part))
    if not again and (done := _finished(planned, manifest, source, record_path)):
        return done, False
    started = time.perf_counter()
    counts = Counts()
    out = Path(paths.embedding_part(planned.id, part))
    with replacing(out) as temporary:
        _write(temporary, planned, manifest, source, counts)
    record = EmbeddedFile(
        model=planned.id,
        export=planned.export,
        artifact_sha256=manifest.artifact.sha256,
        checkpoint_sha256=manifest.checkpoint.sha256,
        demo=manifest.demo,
        validated=validated,
        card_sha256=planned.card_sha256,
        batch=planned.embed.batch,
        file=FileFacts.of(source),
        jets=counts.read,
        kept=counts.kept,
        left_out=dict(counts.left_out),
        noted=dict(counts.noted),
        seconds=time.perf_counter() - started,
        environment=describe(),
    )
    record.write(record_path)
    return record, True


def schema(classes: tuple[str, ...], width: int, metadata: dict[str, str] | None = None) -> pa.Schema:
    """Return the columns of a table: where the jet is, what it is, its kinematics, scores and embedding."""
    numbers = [*JET_COLUMNS, *(f"score_{name}" for name in classes), *(f"emb_{number}" for number in range(width))]
    fields = [
        ("file", pa.string()),
        ("event_index", pa.int64()),
        ("truth_label", pa.int64()),
        ("label_name", pa.string()),
        *((name, pa.float32()) for name in numbers),
    ]
    return pa.schema(fields, metadata=metadata)


def label_name(label: int, classes: Sequence[str]) -> str:
    """Return the name of a class; a number that the data card has no name for is part of the name."""
    if label < 0:
        return UNLABELLED_NAME
    return classes[label] if label < len(classes) else f"label-{label}"


def _write(path: Path, planned: EmbeddingPlan, manifest: Manifest, source: Path, counts: Counts) -> None:
    """Write the rows of a file, one chunk of jets after the other; add to `counts` what becomes of them."""
    run = load_format(manifest.format).load(Path(manifest.artifact.path), threads=1)
    family = load_family(manifest.family)
    embedder = Embedder.of(run, manifest.contract, family, planned.embed.batch)
    columns = schema(embedder.contract.classes, embedder.width, _facts_of(manifest))
    quiet = not sys.stderr.isatty()
    with (
        tqdm(total=family.count_jets(source), desc=source.name, unit="jets", disable=quiet, leave=False) as progress,
        pq.ParquetWriter(path, columns) as writer,
    ):
        for jets in family.read_jets(source, planned.card, CHUNK):
            counts.add(jets.counts)
            writer.write_table(_table(jets, embedder, str(source), planned.card.classes, columns, counts))
            progress.update(jets.counts.read)


def _table(
    jets: JetChunk, embedder: Embedder, source: str, classes: Sequence[str], columns: pa.Schema, counts: Counts
) -> pa.Table:
    """Return the rows of a chunk, but for jets with outputs that are not finite: those are counted."""
    scores, embeddings = embedder(jets)
    finite = np.isfinite(scores).all(axis=1) & np.isfinite(embeddings).all(axis=1)
    if number := int((~finite).sum()):
        counts.left_out[NO_OUTPUT] += number
    labels = jets.labels[finite]
    numbers = [*(jets.kinematics[name][finite] for name in JET_COLUMNS), *scores[finite].T, *embeddings[finite].T]
    return pa.Table.from_arrays(
        [
            pa.array([source] * len(labels), pa.string()),
            pa.array(jets.entries[finite]),
            pa.array(labels),
            pa.array([label_name(label, classes) for label in labels.tolist()], pa.string()),
            *(pa.array(np.ascontiguousarray(values)) for values in numbers),
        ],
        schema=columns,
    )


def _check(manifest: Manifest) -> None:
    """Raise `ArtifactError` unless the artifact has the bytes that its manifest describes."""
    path = Path(manifest.artifact.path)
    if not path.is_file():
        raise ArtifactError(f"{path} is missing", "export it first")
    if not manifest.artifact.intact:
        raise ArtifactError(f"{path} is not the file that its manifest describes", "export it again")


def _validated(planned: EmbeddingPlan, manifest: Manifest) -> bool:
    """Return whether the artifact passed in all runtimes; raise `ArtifactError` if it failed in one."""
    verdicts = []
    for path in filter(os.path.isfile, planned.verdicts()):
        verdict = Validation.read(path)
        if verdict.artifact_sha256 == manifest.artifact.sha256:
            verdicts.append(verdict)
            if verdict.status == "failed":
                raise ArtifactError(f"{planned.export} did not pass its validation: {verdict.reason}", "fix that first")
    return len(verdicts) == len(planned.verdicts())


def _finished(planned: EmbeddingPlan, manifest: Manifest, source: Path, path: Path) -> EmbeddedFile | None:
    try:
        record = EmbeddedFile.read(path)
    except ArtifactError:
        return None
    part = path.with_suffix(".parquet")
    asked = (manifest.artifact.sha256, planned.card_sha256, planned.embed.batch)
    made = (record.artifact_sha256, record.card_sha256, record.batch)
    same = part.is_file() and source.is_file() and made == asked and record.file == FileFacts.of(source)
    return record if same else None


def _facts_of(manifest: Manifest) -> dict[str, str]:
    """Return what says, inside a table, which network made it."""
    return {
        "modelferry.model": manifest.model,
        "modelferry.demo": str(manifest.demo).lower(),
        "modelferry.checkpoint_sha256": manifest.checkpoint.sha256,
        "modelferry.artifact_sha256": manifest.artifact.sha256,
    }
