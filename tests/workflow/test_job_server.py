"""Jobs are forked from one server, which ends with its Snakemake however that ends, and which a run can do without."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.core.job_server import PREFIX
from modelferry.records.summary import Summary
from workflow_harness import Folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server needs Linux")

MODEL = "beta/MHc100"
SERVER = b"modelferry.cli.server"


def processes(folder: Path, word: bytes = b"modelferry") -> list[int]:
    """Return the processes that work in a folder and whose command line has a word in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink() == folder and word in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return found


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def with_jobs(done: Folder) -> subprocess.Popen[str]:
    """Start a run that has one model to do anew; return it once a job has been forked from its server."""
    shutil.rmtree(done.path / f"results/{MODEL}")
    run = done.start("--cores", "2")
    until(lambda: len(processes(done.path, SERVER)) > 1)
    return run


@pytest.mark.parametrize("whole_group", [True, False], ids=["process group", "snakemake alone"])
def test_no_server_and_no_job_is_left_of_a_killed_run(whole_group: bool, done: Folder) -> None:
    run = with_jobs(done)
    (os.killpg if whole_group else os.kill)(run.pid, signal.SIGKILL)
    run.communicate()  # returns once nobody holds the pipe any more
    until(lambda: not processes(done.path))
    done.run()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_no_server_and_no_job_is_left_of_an_interrupted_run(number: signal.Signals, done: Folder) -> None:
    ignored = signal.signal(number, signal.default_int_handler)  # by what started the tests: processes inherit that
    run = with_jobs(done)
    signal.signal(number, ignored)
    os.killpg(run.pid, number)
    run.communicate()
    assert run.returncode != 0
    until(lambda: not processes(done.path))


def test_run_is_completed_though_its_server_is_killed(done: Folder) -> None:
    run = with_jobs(done)
    for pid in processes(done.path, SERVER):
        os.kill(pid, signal.SIGKILL)
    printed, _ = run.communicate()
    assert run.returncode == 0, printed[-3000:]
    assert Summary.read(done.path / "reports/summary.json").verdict == "passed"
    until(lambda: not processes(done.path))


@pytest.mark.parametrize("switch", [{}, {"MODELFERRY_SERVER": "0"}], ids=["with", "without"])
def test_records_are_made_with_and_without_a_server(done: Folder, switch: dict[str, str], tmp_path: Path) -> None:
    shutil.rmtree(done.path / f"results/{MODEL}")
    finished = done.snakemake("--cores", "2", TMPDIR=str(tmp_path), **switch)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert Summary.read(done.path / "reports/summary.json").verdict == "passed"
    until(lambda: not list(tmp_path.glob(f"{PREFIX}*")))


def test_a_run_with_nothing_to_do_starts_no_server(done: Folder, tmp_path: Path) -> None:
    for arguments in (["-n"], ["--cores", "2"]):
        assert done.snakemake(*arguments, TMPDIR=str(tmp_path)).returncode == 0
        assert not list(tmp_path.glob(f"{PREFIX}*"))
        assert not processes(done.path)
