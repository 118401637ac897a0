"""The runtime `cpp` as Python sees it: equal outputs, errors that are exceptions, and no compiler."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from family_samples import small_family
from modelferry.cli.doctor import examine
from modelferry.core.errors import ArtifactError, ContractError
from modelferry.families import load_family
from modelferry.formats import load_format
from modelferry.runtimes import lacking, load_in, load_runtime, runtimes_of
from modelferry.runtimes.native import build

FAMILY = load_family("charged_higgs_particlenet")
INPUTS = FAMILY.collate(FAMILY.sample({"events": 3, "particles": 9}, 1), "dense")
FORMATS = ("torchscript", "aotinductor")


def artifact(samples: Path, name: str) -> Path:
    return next((samples / name).glob("model.*"))


@pytest.mark.parametrize("name", FORMATS)
def test_outputs_equal_those_in_python_bit_for_bit(samples: Path, name: str) -> None:
    path = artifact(samples, name)
    here, there = (load_in(name, runtime, path, 1)(INPUTS) for runtime in ("pytorch", "cpp"))
    assert list(there) == ["logits"]
    np.testing.assert_array_equal(there["logits"], here["logits"])


@pytest.mark.usefixtures("samples")
@pytest.mark.parametrize("layout", ["prepared", "raw"])
def test_jets_give_scores_and_embeddings(layout: str, tmp_path: Path) -> None:
    family, target = small_family("particle_transformer"), load_format("torchscript")
    settings = family.hyperparameters
    inputs = family.collate(family.sample({"jets": 3, "particles": 7}, 2), layout)
    network, contract = family.deployable(settings, layout).eval(), family.contract(settings, layout)
    template, path = tmp_path / "template.pt", tmp_path / "model.pt"
    target.build_template(network, contract, inputs, target.resolve_options({}), template)
    target.fill(template, network.state_dict(), {}, path)
    here, there = (load_in("torchscript", runtime, path, 1)(inputs) for runtime in ("pytorch", "cpp"))
    assert list(there) == ["logits", "embedding"]
    assert there["embedding"].std() > 0
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values)


@pytest.mark.parametrize(
    "broken",
    [
        {"x": INPUTS["x"].astype(np.float64)},
        {"x": INPUTS["x"][:, :, :8]},
        {"x": INPUTS["x"].astype(object)},
        {"x": INPUTS["x"].tolist()},
        {"mask": INPUTS["mask"][:, :4]},
        {"graph_input": INPUTS["graph_input"][:0]},
        {"unknown": INPUTS["x"]},
    ],
    ids=["float64", "8 features", "objects", "a list", "other particles", "no event", "unknown"],
)
def test_wrong_inputs_are_exceptions_and_the_process_goes_on(samples: Path, broken: dict[str, np.ndarray]) -> None:
    run = load_in("aotinductor", "cpp", artifact(samples, "aotinductor"), 1)
    with pytest.raises(ContractError):
        run({**INPUTS, **broken})
    assert np.isfinite(run(INPUTS)["logits"]).all()


def test_killed_process_is_an_error_that_says_so(samples: Path) -> None:
    run = load_in("torchscript", "cpp", artifact(samples, "torchscript"), 1)
    run._process.kill()
    with pytest.raises(ArtifactError, match="was killed by signal 9"):
        run(INPUTS)


@pytest.mark.usefixtures("samples")
def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"model\.pt is damaged, or not an artifact"):
        load_in("torchscript", "cpp", tmp_path / "model.pt", 1)


def runner(*arguments: object, frames: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [build.runner(), *map(str, arguments)]
    return subprocess.run(command, input=frames, capture_output=True, check=False)


def headers(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """Return the headers of the frames that came out."""
    return [json.loads(line) for line in done.stdout.split(b"\n") if line.startswith(b"{")]


def test_flipped_byte_is_refused_in_one_line_beside_its_manifest_or_another(samples: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(samples / "torchscript", tmp_path / "copy")
    (path,) = folder.glob("model.*")
    named = shutil.copy(folder / "manifest.json", tmp_path / "named.json")
    assert runner(path).returncode == 0
    assert runner(path, "--manifest", named).returncode == 0
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for arguments in ([path], [folder], [path, "--manifest", named]):
        done = runner(*arguments)
        assert done.returncode == 1
        assert done.stderr.decode() == f"error: {path} is not the file that its manifest describes; export it again\n"
        assert [header["error"]["kind"] for header in headers(done)] == ["artifact"]
    done = runner(path, "--manifest", samples / "aotinductor" / "manifest.json")
    assert b"does not describe model.pt" in done.stderr


@pytest.mark.parametrize("option", ["--threads", "--runners"])
def test_numbers_that_no_machine_has_are_refused(option: str, samples: Path) -> None:
    for number in ("1000000000", "0", "1025", "2x"):
        done = runner(artifact(samples, "torchscript"), option, number)
        assert done.returncode == 2
        assert f"error: {option} needs a number from 1 to 1024, not '{number}'".encode() in done.stderr


def frame(**header: object) -> bytes:
    tensors = [{"name": name, "dtype": str(a.dtype), "shape": a.shape} for name, a in INPUTS.items()]
    line = json.dumps({"tensors": tensors, **header}).encode()
    return line + b"\n" + b"".join(array.tobytes() for array in INPUTS.values())


@pytest.mark.parametrize("repeat", ["two", 0, -1, 2.5, 1e300, 2**40, None])
def test_odd_repeat_is_an_error_frame_and_the_process_goes_on(repeat: object, samples: Path) -> None:
    done = runner(artifact(samples, "torchscript"), frames=frame(repeat=repeat) + frame(repeat=2))
    _, refused, answered = headers(done)
    assert refused["error"]["kind"] == "contract"
    assert "'repeat'" in refused["error"]["message"]
    assert len(answered["seconds"]) == 2
    assert done.returncode == 0


HALF = '{"tensors": [{"name": "x", "dtype": "float16", "shape": [1]}]}'


@pytest.mark.parametrize("header", [HALF, "[" * 100_000, "{}"], ids=["float16", "deep", "empty"])
def test_header_that_cannot_be_read_is_an_error_frame(header: str, samples: Path) -> None:
    done = runner(artifact(samples, "torchscript"), frames=header.encode() + b"\n")
    assert headers(done)[-1]["error"]["kind"] == "stream"
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


def test_times_are_taken_in_the_process(samples: Path) -> None:
    runtime = load_runtime("cpp")
    path = artifact(samples, "torchscript")
    outputs, seconds = runtime.timed(load_in("torchscript", "cpp", path, 1), INPUTS)
    assert outputs["logits"].shape == (3, 4)
    assert 0 < seconds < 60
    cold = runtime.cold_start(path, 1, INPUTS)
    assert cold is not None
    assert cold.load_ms > 0
    assert cold.first_call_ms > 0
    assert cold.peak_memory_mb > 10


def test_second_build_builds_nothing(samples: Path) -> None:
    before = (build.build() / build.RUNNER).stat().st_mtime_ns
    assert (build.build() / build.RUNNER).stat().st_mtime_ns == before


def test_without_a_compiler_doctor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    lacking.cache_clear()
    try:
        assert runtimes_of("torchscript") == ("pytorch",)
        details = [finding.detail for finding in examine()]
        assert "cpp: not run (no C++ compiler; install g++ and cmake)" in details
    finally:
        lacking.cache_clear()
