"""The pinned environments agree with each other and with what the project asks for."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]


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


def test_conda_environment_installs_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "envs/modelferry.yaml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert "--constraint constraints.txt" in pip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = next(item for item in environment["dependencies"] if str(item).startswith("python="))
    assert project["requires-python"] == f">={python.removeprefix('python=')}"
