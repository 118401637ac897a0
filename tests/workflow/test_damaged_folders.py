"""Nothing broken counts as done: what an earlier run, a disk or a clock left is seen at the start, and made again."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoint_samples import save_checkpoint
from hostile_files import CHECKPOINTS, write
from modelferry.records.summary import Summary
from modelferry.records.validation import Validation
from workflow_harness import END, HIGGS, Folder, jobs_in, of_model

MODEL = "beta/MHc100"
ARTIFACT = f"results/{MODEL}/python/model.py"
CHECKPOINT = "weights/MHc100-best.pt"
BYTES = {"family": "bytecnn", "axes": {"name": ["a"]}, "formats": ["json"], "benchmark": HIGGS["benchmark"]}


def flip(path: Path) -> None:
    """Change one byte and leave the time of the last change as it was."""
    found = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_artifact_that_was_altered_passes_nowhere_and_is_made_again(done: Folder) -> None:
    assert done.modelferry("verdict").returncode == 0
    flip(done.path / ARTIFACT)
    verdict = done.modelferry("verdict")
    assert verdict.returncode == 1
    assert "failed, 2 of 3 models" in verdict.stdout
    assert f"{ARTIFACT} is not the file that was validated" in verdict.stderr
    gate = done.modelferry("gate")
    assert gate.returncode == 1
    assert not (done.path / "reports/gate.passed").exists()
    assert f"error: {MODEL}: {ARTIFACT}" in gate.stderr
    done.modelferry("report")
    summary = Summary.read(done.path / "reports/summary.json")
    reasons = {model.id: model.reason for model in summary.models if model.status != "passed"}
    assert summary.verdict == "failed"
    assert reasons.keys() == {MODEL}
    assert f"{ARTIFACT} altered after the export" in reasons[MODEL]
    printed = done.run()
    assert f"note: {ARTIFACT} is not the file that" in printed
    assert f"export {MODEL}" in done.ran()
    assert Summary.read(done.path / "reports/summary.json").verdict == "passed"
    assert done.jobs() == []


DAMAGE: dict[str, Callable[[Path], object]] = {
    f"results/{MODEL}/python/validation.python.json": lambda path: path.write_text(""),
    f"results/{MODEL}/python/benchmark.python.json": lambda path: path.write_text(path.read_text()[:200]),
    f"results/{MODEL}/reference.npz": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "results/alpha/Run3Mu/fold-0/python/manifest.json": flip,
    "results/alpha/Run3Mu/fold-1/python/model.py": lambda path: path.write_bytes(b""),
    "reports/summary.md": lambda path: path.write_text(""),
    "reports/summary.html": lambda path: path.write_text(""),
    "reports/summary.json": flip,
}


def test_damaged_files_are_named_and_made_again_by_the_same_command(done: Folder) -> None:
    for name, damage in DAMAGE.items():
        damage(done.path / name)
    dry = done.snakemake("-n")
    assert dry.returncode == 0
    for name in DAMAGE:
        assert f"note: {name} " in dry.stderr
        assert (done.path / name).exists()
    printed = done.run()
    for name in DAMAGE:
        assert f"note: {name} " in printed
    assert done.ran() >= END | of_model(MODEL, "validate", "benchmark") | {
        "export alpha/Run3Mu/fold-0", "export alpha/Run3Mu/fold-1",
    }  # fmt: skip
    assert Summary.read(done.path / "reports/summary.json").verdict == "passed"
    assert Validation.read(done.path / f"results/{MODEL}/python/validation.python.json").status == "passed"
    again = done.snakemake("-n")
    assert "note: " not in again.stderr
    assert "Nothing to be done" in again.stdout + again.stderr


def test_files_of_the_future_are_named_and_lose_nothing(done: Folder) -> None:
    (done.path / ARTIFACT).unlink()
    ahead = time.time() + 3e8
    for name in (CHECKPOINT, f"results/{MODEL}/validate.done.json"):
        os.utime(done.path / name, (ahead, ahead))
    printed = done.run()
    for name in (CHECKPOINT, f"results/{MODEL}/validate.done.json"):
        assert f"note: {name} is dated in the future; it is dated now" in printed
        assert (done.path / name).stat().st_mtime < time.time() + 1
    assert (done.path / ARTIFACT).exists()
    assert Summary.read(done.path / "reports/summary.json").verdict == "passed"
    assert done.jobs() == []


def test_jobs_of_a_killed_run_are_waited_for(done: Folder) -> None:
    import fcntl

    with (done.path / ".snakemake/modelferry/jobs").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        run = done.start("--cores", "1")
        assert run.stdout
        while "are still at work; this one waits for them" not in (line := run.stdout.readline()):
            assert line, "it did not wait"
        assert str(os.getpid()) in line
        assert run.poll() is None
    rest, _ = run.communicate()
    assert run.returncode == 0, rest[-2000:]


@pytest.mark.parametrize("kind", ["network", "bytes"])
def test_one_bad_checkpoint_stops_no_other(kind: str, fresh: Callable[..., Folder]) -> None:
    names = [name for name in CHECKPOINTS if name.endswith(".json") == (kind == "bytes")]
    stems = [Path(name).stem for name in names]
    campaign = HIGGS if kind == "network" else BYTES
    patterns = [{"where": {"name": Path(name).stem}, "checkpoint": f"weights/{name}"} for name in names]
    odd = {"braces": "weights/braces*.pt", "proc": "/proc/0/*", "line": "weights/line*.pt", "bytes": "weights/by*.pt"}
    patterns += [{"where": {"name": name}, "checkpoint": pattern} for name, pattern in odd.items()]
    config = {
        **campaign, "axes": {"name": ["good", *stems, *odd]}, "checkpoint": "weights/good.pt", "overrides": patterns,
    }  # fmt: skip
    folder = fresh({"campaigns": {"mixed": config}})
    save_checkpoint(folder.path / "weights/good.pt", 16)
    for name in names:
        write(folder.path / "weights", name)
    for name in (b"braces{x}.pt", b"line\nbreak.pt", b"by\xff\xfes.pt"):
        Path(os.fsdecode(os.fsencode(folder.path) + b"/weights/" + name)).write_bytes(b"not a checkpoint")
    dry = folder.snakemake("-n")
    assert dry.returncode == 0, dry.stderr[-3000:]
    planned = {job.model for job in jobs_in(dry.stdout + dry.stderr)}
    assert "mixed/good" in planned
    unreadable = {"named_pipe", "link_to_nothing", "link_to_a_device", "folder", "braces", "line", "bytes"}
    assert not planned & {f"mixed/{name}" for name in unreadable}
    listed = folder.modelferry("models")
    assert listed.returncode == 0, listed.stderr
    for name in unreadable & {*stems, *odd}:
        (line,) = (line for line in listed.stdout.splitlines() if line.startswith(f"mixed/{name} "))
        assert "failed" in line or "missing" in line
