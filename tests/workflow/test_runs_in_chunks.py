"""A run in chunks, without a cluster: each chunk is a job here, as it would be one there."""

from pathlib import Path

import pytest

from chunk_samples import byte_cnns, save_byte_cnn
from made_once import made_once
from workflow_harness import Folder

CHUNKS = ("--set-scatter", "models=2", "benchmarks=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    def make(root: Path) -> None:
        folder = Folder.fresh(root / "workflow", byte_cnns(2))
        for number in range(2):
            save_byte_cnn(folder.path / f"weights/fold-{number}.pth", number)
        folder.run(*CHUNKS)

    return Folder(made_once(tmp_path_factory, "chunks", make) / "workflow")


def test_a_run_in_chunks_makes_all_that_a_run_makes(finished: Folder) -> None:
    assert finished.would_run() == set()
    assert finished.would_run(*CHUNKS) == set()


def test_only_what_changed_is_in_chunks_and_a_dry_run_leaves_a_run_alone(finished: Folder, tmp_path: Path) -> None:
    folder = finished.copy(tmp_path / "changed")
    save_byte_cnn(folder.path / "weights/fold-1.pth", 7)
    state = folder.path / ".snakemake/modelferry"
    before = [(state / "run").read_text(), sorted(state.glob("chunks/*/*"))]
    assert [job.rule for job in folder.jobs(*CHUNKS)] == ["chunk_models", "chunk_benchmarks", "chunk_report"]
    assert [(state / "run").read_text(), sorted(state.glob("chunks/*/*"))] == before


def test_a_chunk_of_an_earlier_run_says_so(finished: Folder) -> None:
    done = finished.modelferry("chunk", "20260101-000000-1/models-1")
    assert done.returncode == 1
    assert done.stderr == (
        "error: another run than 20260101-000000-1 has begun in this folder; there is nothing to do\n"
    )


def test_a_misspelt_kind_ends_the_start_with_one_line(finished: Folder) -> None:
    done = finished.snakemake("-n", "--set-scatter", "model=2")
    assert done.returncode == 1
    assert "error: --set-scatter: there is no 'model'; did you mean 'models'?\n" in done.stderr
    assert "Traceback" not in done.stderr
