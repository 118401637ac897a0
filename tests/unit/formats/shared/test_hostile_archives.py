"""No archive writes outside its folder, inflates without bound, or runs code while it is loaded."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.core.errors import ArtifactError
from modelferry.formats import Format, load_format
from modelferry.formats.shared.pt2_archive import Kind, read_entries

CONTRACT = Contract(
    layout="flat",
    inputs=(Tensor(name="x", dtype="float32", shape=("events", 3)),),
    outputs=(Tensor(name="logits", dtype="float32", shape=("events", 2)),),
    dimensions=(Dimension(name="events", minimum=1, typical=4, maximum=16),),
)


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, ("touch PWNED",)


def pickled(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.exported.pt2"
    network, target = torch.nn.Linear(3, 2).eval(), load_format("torch_export")
    example = {"x": np.zeros((4, 3), np.float32)}
    target.export(network, CONTRACT, example, target.resolve_options({}), network.state_dict(), {}, path)
    return path


def changed(program: Path, out: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(program) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out


@pytest.mark.parametrize(
    "name", ["a/../../evil", "/etc/evil", "a/data/aotinductor/../../../evil", "..", "a\\..\\evil", "C:/evil"]
)
def test_entry_that_leads_out_of_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.aoti.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data/aotinductor/model/x", "x")
        archive.writestr(name, "x")
    with pytest.raises(ArtifactError, match="would be written outside its folder"):
        read_entries(path, Kind.PACKAGE)
    with pytest.raises(ArtifactError, match="would be written outside its folder"):
        load_format("aotinductor").load(path, 1)


def test_two_entries_of_one_name_and_bombs_are_refused(tmp_path: Path) -> None:
    twice, bomb = tmp_path / "twice.pt2", tmp_path / "bomb.pt2"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a/models/x", "x")
        archive.writestr("b/models/x", "y")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/models/x", bytes(10**8))
    for path, said in ((twice, "two entries of one name"), (bomb, "much larger than the file")):
        with pytest.raises(ArtifactError, match=said):
            read_entries(path, Kind.PROGRAM)


def _weights_as_pickle(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.endswith("model_weights_config.json"))
    config = json.loads(entries[name])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    entries[name] = json.dumps(config).encode()
    entries[name.rpartition("/")[0] + "/" + entry["path_name"]] = pickled(Evil())


def _object_as_constant(entries: dict[str, bytes]) -> None:
    name = next(name for name in entries if name.endswith("model_constants_config.json"))
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    entries[name] = json.dumps({"config": {"c": entry}}).encode()
    entries[name.rpartition("/")[0] + "/opaque_obj_0"] = b"cos\nsystem\n(Vtouch PWNED\ntR."


def _sample_inputs(entries: dict[str, bytes]) -> None:
    entries[next(name for name in entries if name.endswith("sample_inputs/model.pt"))] = pickled(((Evil(),), {}))


@pytest.mark.parametrize("change", [_sample_inputs, _weights_as_pickle, _object_as_constant])
def test_exported_program_that_would_run_code_is_refused(
    change: Callable[[dict[str, bytes]], None], program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = changed(program, tmp_path / "model.exported.pt2", change)
    for read in (lambda: load_format("torch_export").load(path, 1), lambda: load_format("torch_export").layers(path)):
        with pytest.raises(ArtifactError, match=r"is refused: (reading '.*' would run code|it holds an object)"):
            read()
    assert not (tmp_path / "PWNED").exists()


def test_sound_program_is_loaded_and_one_without_a_contract_said_in_a_line(program: Path, tmp_path: Path) -> None:
    target = load_format("torch_export")
    assert target.load(program, 1)({"x": np.zeros((2, 3), np.float32)})["logits"].shape == (2, 2)

    def bad_contract(entries: dict[str, bytes]) -> None:
        entries[next(name for name in entries if name.endswith("contract.json"))] = b'{"layout": 3}'

    with pytest.raises(ArtifactError, match=r"holds no Contract that can be read: layout") as caught:
        target.load(changed(program, tmp_path / "bad.exported.pt2", bad_contract), 1)
    assert len(str(caught.value).splitlines()) == 1


def test_every_format_opens_regular_files_only_and_says_any_error_in_a_line(tmp_path: Path) -> None:
    class Own(Format):
        name = "own"
        extension = "own"
        runtimes = ("pytorch",)

        def build_template(self, deployable, contract, example, options, out): ...  # type: ignore[no-untyped-def]

        def fill(self, template, weights, metadata, out): ...  # type: ignore[no-untyped-def]

        def load(self, path, threads):  # type: ignore[no-untyped-def]
            raise RecursionError("deep\nindeed")

    (tmp_path / "a.own").write_bytes(b"own")
    os.mkfifo(tmp_path / "b.own")
    with pytest.raises(ArtifactError, match=r"a\.own does not load: unexpected RecursionError: deep"):
        Own().load(tmp_path / "a.own", 1)
    with pytest.raises(ArtifactError, match="is a named pipe, not a file"):
        Own().load(tmp_path / "b.own", 1)
