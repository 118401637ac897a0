"""Files are seen whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ArtifactError
from modelferry.core.files import replacing, sha256_of_files, write_arrays, write_text


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.name == path.name
        assert temporary.parent.parent == path.parent
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path, suffix=".onnx") as temporary:
            temporary.write_text("half")
            assert temporary.name == "file.txt.onnx"
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_are_read_back_as_written(tmp_path: Path) -> None:
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "names": np.array(["a", "b"])}
    write_arrays(tmp_path / "file.npz", arrays)
    with np.load(tmp_path / "file.npz", allow_pickle=False) as found:
        assert {name: found[name].tolist() for name in found} == {
            name: value.tolist() for name, value in arrays.items()
        }
        assert found["x"].dtype == np.float32


def test_several_files_take_their_places_together_the_main_one_last(tmp_path: Path, monkeypatch) -> None:
    main, other = tmp_path / "model.xml", tmp_path / "model.bin"
    moved: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: moved.append(target.name) or replace(self, target))
    with replacing(main, other) as temporary:
        temporary.with_name("model.bin").write_text("weights")
        temporary.write_text("graph")
        assert list(tmp_path.glob("model.*")) == []
    assert (main.read_text(), other.read_text()) == ("graph", "weights")
    assert moved == ["model.bin", "model.xml"]
    assert sorted(tmp_path.iterdir()) == [other, main]


def test_a_file_that_was_not_written_is_named_and_nothing_is_moved(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match=r"nothing has written model\.bin"),
        replacing(tmp_path / "model.xml", tmp_path / "model.bin") as temporary,
    ):
        temporary.write_text("graph")
    assert list(tmp_path.iterdir()) == []


def test_digest_of_one_file_is_its_own_and_of_several_depends_on_each_and_their_order(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    assert sha256_of_files(files[:1]) == sha256_of_file(files[0])
    whole = sha256_of_files(files)
    assert whole not in (sha256_of_files(files[::-1]), *map(sha256_of_file, files))
    files[1].write_text("c")
    assert sha256_of_files(files) != whole
