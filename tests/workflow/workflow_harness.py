"""A copy of the workflow in a folder of its own, and Snakemake asked what it would do there, and why."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chunk_samples import QUICK
from forked_snakemake import SNAKEMAKE, snakemake

ROOT = Path(__file__).resolve().parents[2]
HIGGS = {
    "family": "charged_higgs_particlenet",
    "formats": ["torchscript"],
    **{section: QUICK[section] for section in ("validation", "benchmark")},
}
"""Settings of a campaign of the charged-Higgs network; those of byte CNNs, in `QUICK`, run in a third of the time."""


@dataclass(frozen=True)
class Job:
    """A job that Snakemake would run: its rule, the model it is about (empty if none), and why."""

    rule: str
    model: str
    reason: str

    @property
    def stage(self) -> str:
        """The rule's name without what is particular to a campaign, family or format."""
        return re.split(r"_(?!events|train)", self.rule)[0] if self.rule.startswith("demo") else self.rule.split("_")[0]


@dataclass(frozen=True)
class Folder:
    """A folder with the workflow, the package and a config."""

    path: Path

    @classmethod
    def fresh(cls, path: Path, config: dict[str, Any]) -> Folder:
        """Copy everything that a clone has and a run needs, and what Python has compiled of it."""
        path.mkdir(parents=True)
        for name in ("profiles", "envs", "workflow"):
            shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("*.pyc.*", "*.egg-info"))
        made = cls(path)
        made.configure(config)
        return made

    def copy(self, path: Path) -> Folder:
        """Copy the folder with all results, times of files and Snakemake's own records."""
        subprocess.run(["cp", "-a", str(self.path), str(path)], check=True)
        return Folder(path)

    def configure(self, config: dict[str, Any], name: str = "config.yaml") -> None:
        """Write the config."""
        without_anchors = json.loads(json.dumps(config))
        (self.path / name).write_text(yaml.safe_dump(without_anchors, sort_keys=False))

    def edit(self, module: str) -> None:
        """Add a line of code to a module of the folder's own package."""
        path = self.path / "workflow/modelferry" / module
        path.write_text(f"{path.read_text()}\n_CHANGED = True\n")

    def upgrade(self, package: str) -> str:
        """Return a folder for the path in which a newer version of a package seems to be installed."""
        fake = self.path / "upgrade"
        info = fake / f"{package}-99.0.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 99.0.0\n")
        return str(fake)

    @property
    def config(self) -> dict[str, Any]:
        """The config as it stands."""
        found: dict[str, Any] = yaml.safe_load((self.path / "config.yaml").read_text())
        return found

    def environment(self, **changes: str) -> dict[str, str]:
        """Return an environment in which the folder's own package is imported; `PYTHONPATH` is put in front of it."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MODELFERRY", "COV_", "PYTEST"))}
        front = changes.pop("PYTHONPATH", "")
        path = os.pathsep.join(part for part in (front, str(self.path / "workflow")) if part)
        return {**kept, "PYTHONPATH": path, **changes}

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end."""
        return snakemake([*arguments], self.path, self.environment(**environment))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake as the leader of a process group of its own."""
        return subprocess.Popen(
            [SNAKEMAKE, *arguments],
            cwd=self.path,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def ran(self) -> set[str]:
        """Return the jobs of the last run as ``stage`` or ``stage model``: Snakemake's own log has each of them."""
        last = max((self.path / ".snakemake/log").glob("*.snakemake.log"))
        return named([job for job in jobs_in(last.read_text()) if job.rule != "all"])

    def run(self, *arguments: str) -> str:
        """Run the whole workflow, which must succeed; return what was printed."""
        done = self.snakemake("--cores", "2", *arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    def modelferry(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one modelferry command."""
        return subprocess.run(
            [sys.executable, "-m", "modelferry", *arguments],
            cwd=self.path,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def jobs(self, *arguments: str, **environment: str) -> list[Job]:
        """Return the jobs that Snakemake would run now, but for `all`."""
        done = self.snakemake("-n", *arguments, **environment)
        assert done.returncode == 0, done.stderr[-4000:]
        return [job for job in jobs_in(done.stdout + done.stderr) if job.rule != "all"]

    def would_run(self, *arguments: str, **environment: str) -> set[str]:
        """Return the jobs that Snakemake would run now as ``stage`` or ``stage model``."""
        return named(self.jobs(*arguments, **environment))


def jobs_in(output: str) -> Iterator[Job]:
    """Read the jobs of a dry or real run off what Snakemake printed."""
    for block in re.split(r"\n(?=(?:local)?rule \S+:\n)", output)[1:]:
        rule = re.match(r"(?:local)?rule (\S+):", block)
        wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
        reason = re.search(r"^    reason: (.*)$", block, re.MULTILINE)
        assert rule
        values = dict(re.findall(r"(\w+)=([^,\s]+)", wildcards.group(1))) if wildcards else {}
        about = values.get("model") or values.get("group") or ""
        yield Job(rule.group(1), about, reason.group(1) if reason else "")


def named(jobs: Sequence[Job]) -> set[str]:
    """Return jobs as ``stage`` or ``stage model``; whether there is a C++ runtime to build depends on the machine."""
    return {f"{job.stage} {job.model}".strip() for job in jobs if job.rule != "build_cpp"}


def of_model(model: str, *stages: str) -> set[str]:
    """Return the named stages of a model, by default all that a checkpoint decides."""
    return {f"{stage} {model}" for stage in stages or ("export", "validate", "benchmark")}


END = {"report", "gate"}
"""What follows whenever anything ran."""
