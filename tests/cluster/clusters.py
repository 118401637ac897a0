"""The clusters that tests run on, and what one asks them: which jobs there were, and what to do with one that runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from workflow_harness import SNAKEMAKE, Folder

HERE = Path(__file__).parent
QUICK = ("--max-threads", "2", "--seconds-between-status-checks", "2", "--latency-wait", "5")


def output(*command: object) -> list[str]:
    """Return the lines that a command prints."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()


def logs(folder: Folder) -> Iterator[Path]:
    """Yield the logs that Snakemake has kept of its runs in a folder."""
    return (folder.path / ".snakemake/log").glob("*.snakemake.log")


@dataclass(frozen=True)
class Slurm:
    """A Slurm of one node."""

    folder: Path
    profile: str = "profiles/slurm"
    options: Sequence[str] = ("--slurm-init-seconds-before-status-checks", "3")
    prefix: Sequence[str] = ()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for as long as the context lasts."""
        output(HERE / "slurm.sh", "install")
        output(HERE / "slurm.sh", "start", self.folder)
        try:
            yield
        finally:
            output(HERE / "slurm.sh", "stop", self.folder)

    def ended(self) -> int:
        """Return how many jobs have ended so far."""
        log = self.folder / "completed.txt"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def at_work(self) -> list[str]:
        """Return the jobs that run now."""
        return output("squeue", "--noheader", "--states=RUNNING", "--format=%A")

    def cancel(self, job: str) -> None:
        """Remove a job."""
        output("scancel", job)


@dataclass(frozen=True)
class HTCondor:
    """A pool of one machine."""

    folder: Path
    profile: str = "profiles/htcondor"
    options: Sequence[str] = ()
    programs: Path = Path("/tmp/htcondor-programs")
    prefix: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        words = (HERE / "htcondor.sh", "run", self.programs, self.folder)
        object.__setattr__(self, "prefix", tuple(map(str, words)))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for as long as the context lasts."""
        output(HERE / "htcondor.sh", "unpack", self.programs)
        output(HERE / "htcondor.sh", "start", self.programs, self.folder)
        try:
            yield
        finally:
            output(HERE / "htcondor.sh", "stop", self.programs, self.folder)

    def ended(self) -> int:
        """Return how many jobs have ended so far."""
        return len(output(*self.prefix, "condor_history", "-af", "ClusterId"))

    def at_work(self) -> list[str]:
        """Return the jobs that run now."""
        return output(*self.prefix, "condor_q", "-constraint", "JobStatus == 2", "-af", "ClusterId")

    def cancel(self, job: str) -> None:
        """Remove a job."""
        output(*self.prefix, "condor_rm", job)

    def hold(self, job: str, reason: str) -> None:
        """Hold a job."""
        output(*self.prefix, "condor_hold", job, "-reason", reason)


CLUSTERS = {"slurm": Slurm, "htcondor": HTCondor}


@dataclass
class Run:
    """Snakemake at work with the profile of a cluster."""

    cluster: Slurm | HTCondor
    folder: Folder
    process: subprocess.Popen[bytes]
    before: set[Path]
    """Snakemake's logs of earlier runs."""

    @classmethod
    def started(cls, cluster: Slurm | HTCondor, folder: Folder) -> Run:
        """Start it, with the profile and the options that make it look at its jobs often."""
        before = {*logs(folder)}
        words = [*cluster.prefix, SNAKEMAKE, "--profile", cluster.profile, *QUICK, *cluster.options]
        with (folder.path / "console.txt").open("w") as console:
            process = subprocess.Popen(
                words, cwd=folder.path, env=folder.environment(), stdout=console, stderr=subprocess.STDOUT
            )
        return cls(cluster, folder, process, before)

    @property
    def console(self) -> str:
        """What it has printed so far."""
        return (self.folder.path / "console.txt").read_text()

    @property
    def log(self) -> str:
        """What Snakemake has said so far in the log of its own."""
        return "".join(path.read_text() for path in {*logs(self.folder)} - self.before)

    def job(self, rule: str) -> str:
        """Wait until a job of a rule is at work, and return its id."""
        self.until(lambda: f"rule {rule}:" in self.log and bool(self.cluster.at_work()), 600)
        return self.cluster.at_work()[0]

    def until(self, condition: object, seconds: float) -> float:
        """Wait for a condition; return the seconds that it took."""
        assert callable(condition)
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < seconds, self.console[-4000:]
            time.sleep(0.5)
        return time.monotonic() - start

    def code(self) -> int:
        """Wait for its end, and return the exit code."""
        return self.process.wait(timeout=900)
