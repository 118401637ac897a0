"""Tables of classes: every jet in one of them, the same numbers in both kinds of file, nothing of earlier runs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedding_samples import WIDTH, Stub, jet_plan, write_manifest
from modelferry.core import paths
from modelferry.core.errors import ArtifactError
from modelferry.demo import jet_toys
from modelferry.records.embeddings import Embeddings
from modelferry.stages.embeddings.stage import embed_file
from modelferry.stages.embeddings.tables import collect_tables

FIRST, SECOND = 90, 60
SEED_COLUMNS = [
    "file", "event_index", "truth_label", "label_name", "jet_sdmass", "jet_mass", "jet_pt", "jet_eta", "jet_phi",
]  # fmt: skip


@pytest.fixture
def made(stub: Stub) -> Embeddings:
    jet_toys.write("a.parquet", jet_toys.mixed(FIRST, 31))
    columns = jet_toys.mixed(SECOND, 32)
    for name in jet_toys.LABELS:
        np.asarray(columns[name])[:2] = 0
    jet_toys.write("b.root", columns)
    jets = jet_plan(["a.parquet", "b.root"])
    for part in jets.files:
        embed_file(jets, part)
    return collect_tables(jets)


def test_every_jet_is_in_the_table_of_its_class(made: Embeddings) -> None:
    assert {table.name for table in made.tables} == {*jet_toys.CLASSES, "unlabelled"}
    assert sum(table.rows for table in made.tables) == made.kept == FIRST + SECOND
    seen = set()
    for table in made.tables:
        content = pq.read_table(table.parquet.path)
        assert set(content["label_name"].to_pylist()) == {table.name}
        places = list(zip(content["file"].to_pylist(), content["event_index"].to_pylist(), strict=True))
        assert places == sorted(places)
        assert len(places) == table.rows
        seen |= set(places)
    assert seen == {("a.parquet", i) for i in range(FIRST)} | {("b.root", i) for i in range(SECOND)}


def test_csv_has_the_seeds_columns_and_reads_back_to_the_same_float32(made: Embeddings) -> None:
    for table in made.tables:
        content = pq.read_table(table.parquet.path)
        with Path(table.csv.path).open(newline="") as file:
            header, *rows = csv.reader(file)
        scores = [f"score_{name}" for name in jet_toys.CLASSES]
        assert header == [*SEED_COLUMNS, *scores, *(f"emb_{place}" for place in range(WIDTH))] == content.column_names
        assert len(rows) == table.rows
        for name, texts in zip(header, zip(*rows, strict=True), strict=True):
            if name in ("file", "label_name"):
                assert list(texts) == content[name].to_pylist()
            elif name in ("event_index", "truth_label"):
                assert [int(text) for text in texts] == content[name].to_pylist()
            else:
                assert np.array_equal(np.array(texts, np.float32), content[name].to_numpy()), name


def test_the_record_is_written_and_counts_all_files(made: Embeddings) -> None:
    assert Embeddings.read(paths.embeddings("jets/fold-0")) == made
    assert (made.jets, made.noted) == (FIRST + SECOND, {"without a label": 2})
    assert made.files == ("a.parquet", "b.root")


def test_the_same_embeddings_give_the_same_bytes_and_earlier_tables_go(made: Embeddings) -> None:
    folder = Path(paths.embedding_tables("jets/fold-0"))
    (folder / "Hxx.csv").write_text("of an earlier run")
    jets = jet_plan(["a.parquet", "b.root"])
    assert collect_tables(jets) == made
    assert sorted(path.stem for path in folder.glob("*.csv")) == sorted(table.name for table in made.tables)
    assert not list(folder.glob(".*"))


def test_embeddings_of_two_artifacts_are_not_mixed(made: Embeddings) -> None:
    jets = jet_plan(["a.parquet", "b.root"])
    write_manifest(jets, b"other weights")
    embed_file(jets, "b")
    with pytest.raises(ArtifactError, match=r"b.root went through another artifact; run `modelferry embed`"):
        collect_tables(jets)


def test_a_file_that_was_not_embedded_is_named(made: Embeddings) -> None:
    jets = jet_plan(["a.parquet", "c.root"])
    with pytest.raises(ArtifactError, match=r"parts/c.json is missing"):
        collect_tables(jets)
