"""Releases: what they hold, and that nothing altered, missing or added goes unnoticed."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cli_samples import THREE
from modelferry.cli.main import main
from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ArtifactError
from modelferry.records.release import Release
from modelferry.stages.release.sums import write_sums

MUTATIONS = int(os.environ.get("MODELFERRY_MUTATIONS", "50"))
SIGNING = pytest.mark.skipif(find_spec("model_signing") is None, reason="needs modelferry[sign]")


@pytest.fixture(scope="module")
def released(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the model that was validated; the other one was not."""
    folder = tmp_path_factory.mktemp("released") / "with a blank"
    shutil.copytree(exported, folder)
    before = Path.cwd()
    try:
        os.chdir(folder)
        Path("LICENSE").write_text("as you like")
        assert main(["benchmark", "--fold", "3", "--point"]) == 0
        assert main(["report"]) == 0
        assert main(["release", "--out", "out/first release"]) == 0
    finally:
        os.chdir(before)
    return folder / "out" / "first release"


@pytest.fixture
def release(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the release in a folder of its own, where no config is."""
    shutil.copytree(released, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "elsewhere"


def test_only_what_passed_is_released_with_all_that_proves_it(released: Path) -> None:
    found = Release.read(released / "release.json")
    (artifact,) = found.artifacts
    assert (artifact.model, artifact.verdicts) == (THREE, {"pytorch": "passed", "cpp": "passed"})
    names = {path.relative_to(released).as_posix() for path in released.rglob("*") if path.is_file()}
    assert {"README.md", "SHA256SUMS", "LICENSE", "report/summary.html", artifact.path, artifact.expected} <= names
    assert f"models/{THREE}/torchscript/validation.cpp.json" in names


def test_the_model_card_tells_inputs_units_limits_and_how_to_load(released: Path) -> None:
    card = (released / "README.md").read_text()
    for expected in ("GeV", "`particles` 1 to", "torch.jit.load(", f"models/{THREE}/torchscript/model.pt", "float64"):
        assert expected in card
    assert "results/" not in card


def test_the_same_inputs_give_the_same_bytes(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(released.parents[1])
    assert main(["release", "--out", "again/first release"]) == 0
    again = Path("again/first release")
    names = sorted(path.relative_to(released) for path in released.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((released / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_it_verifies_elsewhere_and_gives_the_same_outputs(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(release)]) == 0
    assert "same outputs: 1 of 1 artifacts" in capsys.readouterr().out


def test_sha256sum_reads_the_list(release: Path) -> None:
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=release, check=True)


def test_events_with_expected_outputs_are_read_without_modelferry(release: Path) -> None:
    code = (
        "import sys, numpy, torch\n"
        "found = numpy.load(sys.argv[1]); network = torch.jit.load(sys.argv[2])\n"
        "names = ('x', 'edge_index', 'graph_input', 'batch')\n"
        "out = network(*[torch.from_numpy(found[f'0/input/{name}']) for name in names])\n"
        "assert numpy.allclose(out.detach().numpy(), found['0/float32/logits'], rtol=1e-5, atol=1e-6)\n"
        "assert 'modelferry' not in sys.modules\n"
    )
    artifact = Release.read(release / "release.json").artifacts[0]
    command = [sys.executable, "-I", "-c", code, artifact.expected, artifact.path]
    subprocess.run(command, cwd=release, check=True)


def test_weights_of_another_model_are_noticed_where_all_digests_are_right(
    release: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = Release.read(release / "release.json").artifacts[0]
    other = exported / "results" / THREE.replace("fold-3", "fold-4") / "torchscript" / "model.pt"
    shutil.copyfile(other, release / artifact.path)
    write_sums(release)
    assert main(["verify", str(release)]) == 1
    assert f"{artifact.path} is not the file that release.json is about" in capsys.readouterr().err
    describe(release, files={artifact.path: sha256_of_file(other)})
    assert main(["verify", str(release)]) == 1
    assert f"{artifact.path}: 'logits': " in capsys.readouterr().err


def describe(release: Path, **changes: object) -> None:
    """Let a release say something else of its only artifact, with all digests to fit."""
    found = Release.read(release / "release.json")
    artifact = found.artifacts[0].model_copy(update=changes)
    found.model_copy(update={"artifacts": (artifact,)}).write(release / "release.json")
    write_sums(release)


def test_files_outside_the_release_are_never_opened(release: Path, fails: Callable[..., str]) -> None:
    artifact = Release.read(release / "release.json").artifacts[0]
    outside = release.parent / "outside.pt"
    shutil.copyfile(release / artifact.path, outside)
    describe(release, files={"../outside.pt": sha256_of_file(outside)})
    assert "../outside.pt is not the file" in fails("verify", str(release))
    describe(release, files=artifact.files, expected="../expected.npz")
    assert "../expected.npz is not the file" in fails("verify", str(release))


def test_events_that_cannot_be_read_are_one_line(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = Release.read(release / "release.json").artifacts[0]
    for content in (b"PK\x03\x04 no archive", b"", b"text"):
        (release / artifact.expected).write_bytes(content)
        write_sums(release)
        assert main(["verify", str(release)]) == 1
        assert "holds no events with expected outputs" in capsys.readouterr().err


def altered(release: Path, rng: random.Random) -> str:
    """Flip a byte, or remove, rename or add a file; return the name that must be told."""
    files = sorted(path for path in release.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    path = rng.choice(files)
    name = path.relative_to(release).as_posix()
    kind = rng.choice(["flip", "remove", "add", "rename", "truncate"])
    if kind == "add":
        (path.parent / "extra.txt").write_text("x")
        return (path.parent / "extra.txt").relative_to(release).as_posix()
    if kind == "remove":
        path.unlink()
    elif kind == "rename":
        path.rename(path.with_name(f"{path.name}x"))
    else:
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data if kind == "flip" else data[: len(data) // 2])
    return name


def copied(release: Path, to: Path) -> Path:
    """Return a copy, made anew."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(release, to))


def test_every_change_of_a_file_is_found_and_named(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(19)
    for _ in range(MUTATIONS):
        copy = copied(release, tmp_path / "copy")
        name = altered(copy, rng)
        assert main(["verify", "--files-only", str(copy)]) == 1
        assert name in capsys.readouterr().err


@SIGNING
def test_no_change_passes_whose_digests_were_made_to_fit(release: Path, tmp_path: Path) -> None:
    from modelferry.stages.release.signature import check_signature, sign

    private, public = keys(tmp_path, "owner")
    sign(release, private)
    rng = random.Random(23)
    for _ in range(MUTATIONS):
        copy = copied(release, tmp_path / "copy")
        altered(copy, rng)
        write_sums(copy)
        with pytest.raises(ArtifactError):
            check_signature(copy, public)


@pytest.mark.parametrize("damage", ["gone", "not a list", "a link"])
def test_a_damaged_release_is_one_line(damage: str, release: Path, fails: Callable[..., str]) -> None:
    if damage == "gone":
        (release / "SHA256SUMS").unlink()
    elif damage == "not a list":
        (release / "SHA256SUMS").write_text("hello\n")
    else:
        (release / "README.md").unlink()
        (release / "README.md").symlink_to("/etc/hostname")
    assert "release" in fails("verify", str(release))


def test_what_cannot_be_released_is_one_line(
    released: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    monkeypatch.chdir(released.parents[1])
    assert "is there already" in fails("release", "--out", "out/first release")
    assert "did you mean 'torchscript'?" in fails("release", "--out", "x", "--format", "torchscrip")
    assert "no chosen model has passed" in fails("release", "--out", "x", "--fold", "4")
    assert not Path("x").exists()


def test_a_corrupted_artifact_is_not_released(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    shutil.copytree(released.parents[1], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    path = Path("results") / THREE / "torchscript" / "model.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "is not what the report is about" in fails("release", "--out", "y")
    assert not Path("y").exists()


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", private], check=True)
    subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


@SIGNING
def test_a_signature_tells_who_and_that_nothing_was_changed_with_its_digest(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelferry.stages.release.signature import sign

    private, public = keys(tmp_path, "owner")
    _, other = keys(tmp_path, "other")
    sign(release, private)
    assert main(["verify", str(release), "--key", str(public)]) == 0
    assert main(["verify", str(release), "--key", str(other)]) == 1
    assert "is not what the owner of" in capsys.readouterr().err
    (release / "README.md").write_text("another card")
    write_sums(release)
    assert main(["verify", "--files-only", str(release)]) == 0
    assert main(["verify", str(release), "--key", str(public)]) == 1
    (release / "release.sig").unlink()
    capsys.readouterr()
    assert main(["verify", str(release), "--key", str(public)]) == 1
    assert "is not signed" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("model_signing") is not None, reason="model-signing is installed")
def test_without_the_package_one_line_says_what_to_install(release: Path, fails: Callable[..., str]) -> None:
    (release / "release.sig").write_text("{}")
    (release.parent / "key.pub").write_text("key")
    assert "pip install 'modelferry[sign]'" in fails("verify", str(release), "--key", "key.pub")


def test_expected_outputs_are_those_of_the_network_as_trained(release: Path, exported: Path) -> None:
    artifact = Release.read(release / "release.json").artifacts[0]
    with (
        np.load(release / artifact.expected) as found,
        np.load(exported / "results" / THREE / "reference.npz") as known,
    ):
        recorded = next(known[key] for key in known.files if "float32" in key and known[key].ndim == 2)
        rows = found["0/float32/logits"]
        assert all((recorded == row).all(axis=1).any() for row in rows)
