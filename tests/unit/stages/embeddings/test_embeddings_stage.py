"""Embeddings of a file of jets: right rows, right jets, nothing dropped in silence, nothing done twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedding_samples import CLASSES, WIDTH, Stub, jet_plan, tagger, write_manifest
from modelferry.comparison.scores import softmax
from modelferry.core import paths
from modelferry.core.contract import Arrays
from modelferry.core.cutflow import NO_OUTPUT, NOT_FINITE, NOT_SELECTED
from modelferry.core.errors import ArtifactError, ConfigError, EventFileError
from modelferry.core.events import JetChunk
from modelferry.demo import jet_toys
from modelferry.families import load_family
from modelferry.families.jets import Card, Jagged, prepare
from modelferry.families.jets.jetclass import mass, read_chunks
from modelferry.plan.embeddings import parts
from modelferry.stages.embeddings import stage
from modelferry.stages.embeddings.inference import Embedder
from modelferry.stages.embeddings.stage import embed_file, label_name

N = 150


@pytest.fixture
def toys(stub: Stub) -> dict[str, np.ndarray | Jagged]:
    columns = jet_toys.mixed(N, 21)
    jet_toys.write("toys.parquet", columns)
    return columns


def table(part: str = "toys") -> pa.Table:
    return pq.read_table(paths.embedding_part("jets/fold-0", part))


def column(name: str) -> np.ndarray:
    found: np.ndarray = table()[name].to_numpy()
    return found


def embeddings() -> np.ndarray:
    return np.stack([column(f"emb_{place}") for place in range(WIDTH)], axis=1)


def test_rows_are_the_jets_of_the_file_in_its_order(toys: dict) -> None:
    jets = jet_plan(["toys.parquet"], batch=16)
    record, done = embed_file(jets, "toys")
    assert done
    assert (record.jets, record.kept, record.left_out) == (N, N, {})
    assert set(column("file")) == {"toys.parquet"}
    assert column("event_index").tolist() == list(range(N))
    labels = np.stack([np.asarray(toys[name]) for name in jet_toys.LABELS]).argmax(axis=0)
    assert column("truth_label").tolist() == labels.tolist()
    assert column("label_name").tolist() == [jet_toys.CLASSES[label] for label in labels]
    for name in ("jet_pt", "jet_eta", "jet_phi", "jet_sdmass"):
        assert np.array_equal(column(name), np.asarray(toys[name])), name
    assert np.array_equal(column("jet_mass"), mass(toys))


def test_each_jet_has_its_own_scores_and_embedding(toys: dict) -> None:
    jets = jet_plan(["toys.parquet"], batch=16)
    embed_file(jets, "toys")
    prepared = prepare(jets.card, next(read_chunks("toys.parquet", jets.card.branches)).columns)
    outputs = tagger()({name: values[:, :, ::1] for name, values in prepared.inputs.items()})
    np.testing.assert_allclose(embeddings(), outputs["embedding"], atol=1e-6)
    scores = np.stack([column(f"score_{name}") for name in jet_toys.CLASSES], axis=1)
    np.testing.assert_allclose(scores, softmax(outputs["logits"]), atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert len(np.unique(embeddings(), axis=0)) == N


def test_calls_are_no_larger_than_asked_and_no_longer_than_their_longest_jet(toys: dict, stub: Stub) -> None:
    embed_file(jet_plan(["toys.parquet"], batch=16), "toys")
    sizes = np.sort(toys["part_px"].counts)
    assert [shape[0] for shape in stub.calls] == [16] * 9 + [6]
    assert [shape[2] for shape in stub.calls] == [max(sizes[start : start + 16]) for start in range(0, N, 16)]


def test_a_chunk_boundary_does_not_show(toys: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    jets = jet_plan(["toys.parquet"])
    embed_file(jets, "toys")
    whole = table()
    monkeypatch.setattr(stage, "CHUNK", 31)
    embed_file(jets, "toys")
    assert pq.ParquetFile(paths.embedding_part(jets.id, "toys")).num_row_groups == -(-N // 31)
    again = table()
    assert whole.drop_columns([n for n in whole.column_names if n.startswith(("emb", "score"))]).equals(
        again.drop_columns([n for n in again.column_names if n.startswith(("emb", "score"))])
    )
    np.testing.assert_allclose(
        np.stack([whole[f"emb_{i}"] for i in range(WIDTH)]),
        np.stack([again[f"emb_{i}"] for i in range(WIDTH)]),
        atol=1e-6,
    )


def test_what_becomes_of_every_jet_is_counted(stub: Stub) -> None:
    columns = jet_toys.mixed(N, 22)
    columns["part_px"].values[0] = np.nan
    for name in jet_toys.LABELS:
        np.asarray(columns[name])[7] = 0
    jet_toys.write("toys.root", columns)
    jets = jet_plan(["toys.root"])
    sound = stub.run
    small: list[int] = []

    def run(inputs: Arrays) -> Arrays:
        outputs = sound(inputs)
        wrong = inputs["pf_mask"].sum((1, 2)) < 12
        small.append(int(wrong.sum()))
        return {**outputs, "embedding": np.where(wrong[:, None], np.nan, outputs["embedding"])}

    stub.run = run
    card = Card.model_validate({**jets.card.model_dump(), "selection": "jet_sdmass > 60"})
    object.__setattr__(jets, "card", card)
    record, _ = embed_file(jets, "toys")
    light = int((np.delete(np.asarray(columns["jet_sdmass"]), 0) <= 60).sum())
    assert light > 0 < sum(small)
    assert record.left_out == {NOT_FINITE: 1, NOT_SELECTED: light, NO_OUTPUT: sum(small)}
    assert record.kept == N - 1 - light - sum(small) == len(table())
    assert f"{light} left out: not selected" in record.counts
    assert 0 not in column("event_index")
    if 7 in (places := column("event_index").tolist()):
        assert column("label_name")[places.index(7)] == "unlabelled"


def test_finished_files_are_left_alone_until_something_changes(toys: dict, stub: Stub) -> None:
    jets = jet_plan(["toys.parquet"])
    first, _ = embed_file(jets, "toys", again=False)
    calls = len(stub.calls)
    second, done = embed_file(jets, "toys", again=False)
    assert not done
    assert second == first
    assert len(stub.calls) == calls

    def redone() -> bool:
        before = len(stub.calls)
        return embed_file(jets, "toys", again=False)[1] and len(stub.calls) > before

    Path(paths.embedding_part(jets.id, "toys")).unlink()
    assert redone()
    write_manifest(jets, b"other weights")
    assert redone()
    jet_toys.write("toys.parquet", jet_toys.mixed(N, 23))
    assert redone()
    object.__setattr__(jets, "embed", jets.embed.model_copy(update={"batch": 3}))
    assert redone()
    assert not redone()
    assert embed_file(jets, "toys", again=True)[1]


def test_a_file_that_breaks_in_the_middle_leaves_nothing_half_done(toys: dict, stub: Stub) -> None:
    jets = jet_plan(["toys.parquet"], batch=8)
    sound = stub.run

    def breaking(inputs: Arrays) -> Arrays:
        if len(stub.calls) > 5:
            raise RuntimeError("out of luck")
        return sound(inputs)

    stub.run = breaking
    with pytest.raises(RuntimeError, match="out of luck"):
        embed_file(jets, "toys")
    assert list(Path(paths.embedding_part(jets.id, "toys")).parent.iterdir()) == []


def test_the_table_says_which_network_made_it(toys: dict) -> None:
    embed_file(jet_plan(["toys.parquet"]), "toys")
    said = {key.decode(): value.decode() for key, value in table().schema.metadata.items()}
    assert said["modelferry.checkpoint_sha256"] == "c" * 64
    assert said["modelferry.demo"] == "false"
    assert len(said["modelferry.artifact_sha256"]) == 64


def test_an_artifact_that_is_not_what_its_manifest_says_is_refused(toys: dict) -> None:
    jets = jet_plan(["toys.parquet"])
    artifact = Path(paths.artifact(jets.id, "onnx", "onnx"))
    artifact.write_bytes(b"another")
    with pytest.raises(ArtifactError, match="not the file that its manifest describes"):
        embed_file(jets, "toys")
    artifact.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        embed_file(jets, "toys")


@pytest.mark.parametrize(("status", "sha256", "refused"), [
    ("failed", "", True), ("passed", "", False), ("failed", "of other bytes", False),
])  # fmt: skip
def test_an_artifact_that_did_not_pass_is_refused(
    toys: dict, monkeypatch: pytest.MonkeyPatch, status: str, sha256: str, refused: bool
) -> None:
    jets = jet_plan(["toys.parquet"])
    made = write_manifest(jets)
    (path,) = map(Path, jets.verdicts())
    path.write_text("{}")

    class Verdict:
        artifact_sha256 = sha256 or made.artifact.sha256
        reason = "logits differ"

        @classmethod
        def read(cls, path: str) -> Verdict:
            return cls()

    Verdict.status = status
    monkeypatch.setattr(stage, "Validation", Verdict)
    if refused:
        with pytest.raises(ArtifactError, match="onnx did not pass its validation: logits differ"):
            embed_file(jets, "toys")
    else:
        assert embed_file(jets, "toys")[0].validated == (not sha256)


def test_files_that_are_missing_or_have_a_comma_are_one_line(toys: dict) -> None:
    with pytest.raises(EventFileError, match=r"absent.root: no such file"):
        embed_file(jet_plan(["absent.root"]), "absent")
    Path("a,b.parquet").write_bytes(Path("toys.parquet").read_bytes())
    with pytest.raises(EventFileError, match="cannot be part of a CSV file; rename it"):
        embed_file(planned := jet_plan(["a,b.parquet"]), *planned.files)


def test_a_network_without_embedding_is_refused(toys: dict) -> None:
    jets = jet_plan(["toys.parquet"])
    made = write_manifest(jets)
    contract = made.contract.model_copy(update={"outputs": made.contract.outputs[:1]})
    made.model_copy(update={"contract": contract}).write(paths.manifest(jets.id, "onnx"))
    with pytest.raises(ConfigError, match="gives logits, and no 'embedding'"):
        embed_file(jets, "toys")


def test_a_network_with_the_preparation_inside_is_refused(toys: dict) -> None:
    jets = jet_plan(["toys.parquet"])
    made = write_manifest(jets)
    contract = load_family("particle_transformer").contract(jets.hyperparameters, "raw")
    made.model_copy(update={"contract": contract}).write(paths.manifest(jets.id, "onnx"))
    with pytest.raises(ConfigError, match=r"layout is raw, and jets are embedded as the data card .*: embed: {export"):
        embed_file(jets, "toys")


def test_the_first_export_that_takes_prepared_jets_embeds_them() -> None:
    jets = jet_plan(["toys.parquet"])
    raw, prepared = (jets.model.exports[0].model_copy(update={"layout": x, "name": x}) for x in ("raw", "prepared"))
    model = replace(jets.model, exports=(raw, prepared))
    assert replace(jets, model=model).export == "prepared"
    named = replace(jets, model=model, embed=jets.embed.model_copy(update={"export": "raw"}))
    assert named.export == "raw"


def test_parts_are_named_by_their_files_and_never_twice() -> None:
    found = parts(["a/x.root", "b/x.root", "a/y.root", "a/y.root"])
    assert found["y"] == "a/y.root"
    assert sorted(found.values()) == ["a/x.root", "a/y.root", "b/x.root"]
    assert all(name == "y" or name.startswith("x-") for name in found)


def test_names_of_labels() -> None:
    assert [label_name(label, ("QCD", "Hbb")) for label in (-1, 0, 1, 2)] == ["unlabelled", "QCD", "Hbb", "label-2"]


def test_no_jets_are_no_rows(toys: dict, stub: Stub) -> None:
    jets = jet_plan(["toys.parquet"])
    family = load_family("particle_transformer")
    embedder = Embedder.of(stub.run, family.contract(jets.hyperparameters, "prepared"), family, 8)
    card = Card.model_validate({**jets.card.model_dump(), "selection": "jet_pt < 0"})
    scores, found = embedder(prepare(card, next(read_chunks("toys.parquet", card.branches)).columns))
    assert scores.shape == (0, CLASSES)
    assert found.shape == (0, WIDTH)


def test_the_family_reads_the_jets(toys: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(type(load_family("particle_transformer"))):  # type: ignore[misc]
        """Reads another kind of file, in which jets are numbered from 100."""

        def count_jets(self, path: Path) -> int:
            return 1000

        def read_jets(self, path: Path, card: Card, chunk: int) -> Iterator[JetChunk]:
            for jets in super().read_jets(path, card, chunk):
                yield replace(jets, entries=jets.entries + 100)

    monkeypatch.setattr(stage, "load_family", lambda name: Own())
    embed_file(jet_plan(["toys.parquet"]), "toys")
    assert column("event_index").tolist() == list(range(100, 100 + N))


def test_a_family_without_jets_says_so(toys: dict) -> None:
    family = load_family("charged_higgs_particlenet")
    for call in (
        lambda: family.read_jets(Path("toys.parquet"), None, 8),
        lambda: family.count_jets(Path("toys.parquet")),
    ):
        with pytest.raises(ConfigError, match="takes no jets; remove `embed` from the campaign"):
            call()
