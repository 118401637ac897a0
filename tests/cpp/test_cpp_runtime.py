"""The runtime `cpp` as Python sees it: equal outputs, errors that are exceptions, and no compiler."""

from pathlib import Path

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
