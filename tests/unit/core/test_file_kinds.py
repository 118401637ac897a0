"""What a file is that was given in the place of an artifact."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modelferry.core.file_kinds import in_its_place, kind_of_file


def named(path: Path) -> str:
    kind = kind_of_file(path)
    return kind.name if kind else ""


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "an empty file"),
        (b"root\x00\x00\xf6\x08", "a ROOT file of events"),
        (b"PAR1\x15\x04", "a parquet file of events"),
        (b"\x80\x04\x95\x00", "a pickle, as old checkpoints are"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS instead of the file itself"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"PK\x03\x04 half an archive", ""),
        (b"\x08\x0a\x12\x07pytorch", ""),
        (b'{"contract": 1}', ""),
        (b"import math\n", ""),
    ],
)
def test_files_are_told_by_how_they_begin(content: bytes, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert named(path) == wanted


def test_weights_and_arrays_are_told_from_programs(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 1)
    torch.save(network.state_dict(), tmp_path / "checkpoint")
    torch.save(network.state_dict(), tmp_path / "old", _use_new_zipfile_serialization=False)
    save_file(network.state_dict(), tmp_path / "safetensors")
    np.savez(tmp_path / "arrays.npz", x=np.zeros(2))
    torch.jit.trace(network, torch.zeros(1, 2)).save(str(tmp_path / "traced"))
    torch.export.save(torch.export.export(network, (torch.zeros(1, 2),)), tmp_path / "program.pt2")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("notes.txt", "")
    kinds = {path.name: named(path) for path in tmp_path.iterdir()}
    assert kinds == {
        "checkpoint": "a checkpoint: weights without a network",
        "old": "a pickle, as old checkpoints are",
        "safetensors": "a checkpoint: weights without a network",
        "arrays.npz": "an archive of NumPy's arrays",
        "traced": "",
        "program.pt2": "",
        "zip": "",
    }


def test_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert in_its_place(tmp_path / "empty", "artifact") == (
        f"{tmp_path}/empty is no artifact but an empty file",
        "copy or export it again",
    )
    assert in_its_place(tmp_path / "not there", "artifact") is None
