"""The files that are no Python are found in one way, in a clone and in what a wheel has installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from modelferry.core import installation

ROOT = Path(__file__).resolve().parents[3]
ASK = "from modelferry.core import installation as i; print(i.ROOT, i.SNAKEFILE, *i.lacking(), sep='\\n')"
PACKAGES = ("workflow/modelferry/", "workflow/snakemake_logger_plugin_modelferry/")
CARRIED = ("config.yaml", "envs", "examples", "profiles", "workflow")


def tracked(*folders: str) -> list[str]:
    """Return the files of some folders of the repository that git has, or does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git repository")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def asked_in(packages: Path) -> list[str]:
    """Return what the installation that lies in a folder of packages says of itself."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(packages)!r}); {ASK}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_clone_has_all_files_where_they_are_looked_for() -> None:
    assert installation.ROOT == ROOT
    assert installation.lacking() == []


def test_wheel_has_the_whole_package_and_all_that_a_run_needs_beside_it(wheel: zipfile.ZipFile) -> None:
    packages = {name.removeprefix("workflow/") for name in tracked(*PACKAGES)}
    others = (name for name in tracked(*CARRIED) if not name.startswith(PACKAGES))
    wanted = packages | {f"modelferry_share/{name}" for name in others}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert wanted - found == set()
    assert {name for name in found - wanted if "__pycache__" not in name} == set(), "nothing else is carried along"


def test_what_a_wheel_has_installed_finds_its_own_files(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site packages")
    share = tmp_path / "site packages/modelferry_share"
    assert asked_in(tmp_path / "site packages") == [str(share), str(share / "workflow/Snakefile")]


def test_what_an_incomplete_installation_lacks_is_named(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    (tmp_path / "modelferry_share/workflow/Snakefile").unlink()
    assert asked_in(tmp_path)[2:] == ["workflow/Snakefile"]


def test_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    import modelferry

    assert modelferry.__version__ == version("modelferry")
    assert modelferry.__version__[0].isdecimal()
