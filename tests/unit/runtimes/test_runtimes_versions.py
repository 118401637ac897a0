"""A runtime in another version: packages of its own, in a process of its own.

The packages of these tests are the installed ones, in the place where those of another version would be; the real ones
are for `make test-destinations`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime
import pytest

from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.formats import Format, load_format
from modelferry.runtimes import Runtime, load_runtime, runtime_of, runtimes_of
from modelferry.runtimes.shared import cache
from modelferry.runtimes.versions import packages
from modelferry.testing import RuntimeConformance

INSTALLED = onnxruntime.__version__
NAME = f"onnxruntime@{INSTALLED}"


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory):
    """Let the installed packages be those of a version of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.CACHE, str(tmp_path_factory.mktemp("cache")))
        packages.folder_of(NAME).symlink_to(Path(onnxruntime.__file__).parents[1])
        yield


@pytest.mark.usefixtures("cached")
class TestOtherVersion(RuntimeConformance):
    """The suite that users run."""

    @pytest.fixture(scope="module")
    @classmethod
    def executes(cls) -> Runtime:
        return load_runtime(NAME)

    @pytest.fixture(scope="module")
    @classmethod
    def target(cls) -> Format:
        return load_format("onnx")

    @pytest.fixture(scope="module")
    @classmethod
    def template(cls, cached: None, target: Format, template_of) -> Path:
        return template_of(target.name)


def pip_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    program = tmp_path / "pip.py"
    program.write_text(f"import sys\nfrom pathlib import Path\n{code}\n")
    monkeypatch.setattr(packages, "PIP", (sys.executable, str(program)))
    monkeypatch.setenv(cache.CACHE, str(tmp_path / "cache"))


def test_packages_are_got_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_that(tmp_path, monkeypatch, "where = Path(sys.argv[3])\nwhere.mkdir()\n(where / 'got').write_text(sys.argv[4])")
    folder = packages.packages("some@1.2", ["some==1.2"])
    assert (folder / "got").read_text() == "some==1.2"
    monkeypatch.setattr(packages, "PIP", ("false",))
    assert packages.packages("some@1.2", ["some==1.2"]) == folder


def test_packages_that_cannot_be_had_are_said_in_one_line_with_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that(tmp_path, monkeypatch, "sys.exit('WARNING: slow\\nERROR: No matching distribution found for some==1.2')")
    with pytest.raises(ArtifactError) as caught:
        packages.packages("some@1.2", ["some==1.2", "numpy<2"])
    assert "some@1.2 cannot be installed: No matching distribution found for some==1.2" in str(caught.value)
    assert f"--target {packages.folder_of('some@1.2')} some==1.2 'numpy<2'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / f"{packages.folder_of('some@1.2').name}.lock"]


def test_without_pip_the_runtime_is_not_there_unless_its_packages_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.CACHE, str(tmp_path))
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    other = load_runtime("onnxruntime").of_version("1.2.3")
    assert "ensurepip" in other.unavailable()
    packages.folder_of(other.name).mkdir()
    assert other.unavailable() == ""


def test_a_format_for_a_version_runs_in_it_and_in_the_installed_one() -> None:
    assert runtimes_of("onnx@1.17.1") == ("onnxruntime", "onnxruntime@1.17.1")
    assert runtime_of("onnx@1.17.1", "onnxruntime@1.17.1") is load_runtime("onnxruntime@1.17.1")
    assert runtimes_of("onnx") == ("onnxruntime",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("onnx@1.13.1", "ONNX Runtime 1.13.1 reads no operator set 18, .*; use 1.14 or newer"),
        ("onnx@new", "'onnx@new' asks for the version 'new'; write numbers, such as onnx@1.17.1"),
        ("onnx@", "asks for the version ''"),
        ("ort@1.17.1", "format ort is for the installed runtime only"),
        ("quantized@1.17.1", "format quantized is for the installed runtime only"),
        ("onxx@1.17.1", "did you mean 'onnx'"),
    ],
)
def test_versions_that_cannot_be_had_are_refused(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_format(name)


def test_a_runtime_without_versions_says_so() -> None:
    with pytest.raises(ConfigError, match="runtime pytorch is had as it is installed only"):
        load_runtime("pytorch@2.1")
