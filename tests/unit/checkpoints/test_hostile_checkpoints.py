"""No checkpoint hangs, fills the memory or runs code: each is refused in one line, by the planner and the loader."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hostile_files import CHECKPOINTS, write
from modelferry.checkpoints import shapes
from modelferry.checkpoints.ema import weights_at
from modelferry.checkpoints.shapes import read_shapes
from modelferry.core.errors import CheckpointError
from modelferry.core.reading import regular_file

SECONDS, BYTES = 2.0, 10**9
READ = """\
import json, pathlib, resource, signal, sys, time
import torch, safetensors.torch
from modelferry.core.errors import ModelferryError
from modelferry.families import load_family
from modelferry.families.hyperparameters import read_hyperparameters
family = load_family("bytecnn")
for path in map(pathlib.Path, sys.argv[1:]):
    signal.setitimer(signal.ITIMER_PROF, 30)  # seconds of this process, after which it dies
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said, started = [], time.process_time()
    for read in (lambda: read_hyperparameters(family, path), lambda: family.load_weights(path, family.hyperparameters)):
        try:
            read()
            said.append("")
        except ModelferryError as error:
            said.append(str(error))
        except BaseException as error:
            said.append(f"traceback of {error!r}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([path.name, *said, time.process_time() - started, grown * 1024]), flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, float, int]]:
    """What planner and loader say of each file, the seconds of both, and the bytes by which the process grew."""
    folder = tmp_path_factory.mktemp("hostile")
    files = [str(write(folder / "files", name)) for name in CHECKPOINTS]
    run = subprocess.run([sys.executable, "-c", READ, *files], capture_output=True, text=True, cwd=folder)
    assert not list(folder.rglob("PWNED"))
    return {name: tuple(answer) for name, *answer in map(json.loads, run.stdout.splitlines())}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_hostile_checkpoint_is_refused_in_one_line_two_seconds_and_a_gigabyte(
    name: str, answers: dict[str, tuple[str, str, float, int]]
) -> None:
    assert name in answers, "the process died"
    planning, loading, seconds, grown = answers[name]
    assert loading, "it was taken"
    for said in filter(None, (planning, loading)):  # to plan, shapes are enough
        assert name in said.splitlines()[0]
        assert "traceback" not in said
        assert len(said.splitlines()) == 1 or "a byte CNN needs" in said
    assert seconds < SECONDS
    assert grown < BYTES


def test_averages_in_a_dict_that_holds_itself_are_found_in_time(tmp_path: Path) -> None:
    import torch

    content: dict = {"state_dict": {"w": torch.ones(2)}}
    content |= {f"key{number}": content for number in range(300)}
    torch.save(content, tmp_path / "self.pt")
    with pytest.raises(CheckpointError, match="averages"):
        weights_at(tmp_path / "self.pt", "ema")


def test_weights_that_tensors_share_are_still_read(tmp_path: Path) -> None:
    import torch

    tied = torch.ones(300, 300)
    torch.save({"a": tied, "b": tied, "c": tied.T, "d": torch.ones(1).expand(100, 100)}, tmp_path / "tied.pt")
    assert read_shapes(tmp_path / "tied.pt") == {"a": (300, 300), "b": (300, 300), "c": (300, 300), "d": (100, 100)}


def test_every_opcode_that_hashes_is_checked() -> None:
    import pickletools

    hashing = {opcode.code for opcode in pickletools.opcodes if opcode.name in {
        "SETITEM", "SETITEMS", "DICT", "ADDITEMS", "FROZENSET"
    }}  # fmt: skip
    assert {opcode.decode("latin-1") for opcode in shapes.HASHING} == hashing


def test_file_that_is_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "large.pt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="and 1,000 are allowed"):
        regular_file(tmp_path / "large.pt", CheckpointError, most=1000)
