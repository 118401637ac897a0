"""The pinned environments agree with each other and with what the project asks for."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
EXTRAS = ("workflow", "cpp", "lightning", "dev")
"""What `make setup` installs."""


def pins() -> dict[str, Version]:
    lines = (ROOT / "envs/constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normalised(name): Version(version) for name, version in pinned}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [Requirement(text) for text in texts]


def test_torch_is_pinned_exactly() -> None:
    assert "torch==2.13.0" in (ROOT / "envs/constraints.txt").read_text().splitlines()


def test_snakemake_is_pinned_to_its_minor_version() -> None:
    asked = next(r for r in requirements() if r.name == "snakemake").specifier
    assert asked.contains("9.27.9")
    assert not asked.contains("9.28.0")


def test_every_requirement_is_pinned_to_a_version_that_satisfies_it() -> None:
    for requirement in requirements():
        version = pins().get(normalised(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned: make lock"
        assert requirement.specifier.contains(version), f"{requirement} against {version}: make lock"


def test_the_lock_has_digests_of_the_pinned_versions() -> None:
    """All that `make setup` installs but torch."""
    locked = {}
    for entry in (ROOT / "envs/lock.txt").read_text().replace("\\\n", " ").splitlines():
        pin, *digests = entry.split()
        name, _, version = pin.partition("==")
        locked[normalised(name)] = Version(version)
        assert digests, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests), pin
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [*project["project"]["dependencies"], *(text for extra in EXTRAS for text in extras[extra])]
    needed = {normalised(Requirement(text).name) for text in [*asked, *project["build-system"]["requires"]]}
    assert needed - locked.keys() == {"torch"}, "make lock"
    assert {name: pins().get(name) for name in locked} == locked, "make lock"


def test_conda_environment_names_nothing_that_is_lost_when_snakemake_copies_it() -> None:
    dependencies = yaml.safe_load((ROOT / "envs/modelferry.yaml").read_text())["dependencies"]
    assert all(re.fullmatch(r"[\w.=-]+", str(item)) for item in dependencies), "no paths, and no pip section"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = next(item for item in dependencies if item.startswith("python="))
    assert project["requires-python"] == f">={python.removeprefix('python=')}"


def pip_of_conda(tmp_path: Path, folder: Path, **variables: str) -> list[str]:
    """Return the arguments of Python when Snakemake deploys the conda environment in a folder."""
    copied = tmp_path / "0123abcd_.post-deploy.sh"
    shutil.copy(ROOT / "envs/modelferry.post-deploy.sh", copied)
    stub = tmp_path / "bin/python"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["bash", copied], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_what_is_installed_into_the_conda_environment_is_found_from_a_clone(tmp_path: Path) -> None:
    words = pip_of_conda(tmp_path, ROOT)
    assert (ROOT / words[words.index("--constraint") + 1]).is_file()
    folder, extras = words[words.index("--editable") + 1].rstrip("]").split("[")
    assert (ROOT / folder / "pyproject.toml").is_file()
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"workflow"} <= set(extras.split(",")) <= known.keys()


@pytest.mark.parametrize(
    ("variables", "package"), [({}, "modelferry"), ({"MODELFERRY_PACKAGE": "/a b/m.whl"}, "/a b/m.whl")]
)
def test_conda_environment_of_any_other_folder_has_the_package(
    variables: dict[str, str], package: str, tmp_path: Path
) -> None:
    (tmp_path / "analysis").mkdir()
    *_, asked = pip_of_conda(tmp_path, tmp_path / "analysis", **variables)
    assert asked == f"{package}[workflow,cpp,lightning]"


def test_image_holds_all_that_its_one_step_of_the_makefile_reads() -> None:
    recipe = (ROOT / "envs/modelferry.def").read_text()
    assert "make setup" in recipe
    copied = re.findall(r"^ +(\S+) /opt/modelferry/\1$", recipe, re.MULTILINE)
    assert {"Makefile", "pyproject.toml", "envs", "workflow"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
