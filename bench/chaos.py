"""Random faults in a small campaign: after each, the same command completes it, with the records of a quiet run.

    python bench/chaos.py --folder /tmp/chaos --faults 200

Makes a campaign of charged-Higgs networks and byte CNNs and runs it undisturbed. Then, again and again, something goes
wrong: Snakemake, a job or the job server is killed while models are made, the disk is full, files are deleted, cut,
altered or dated in the future, the config is another one for a while, or two runs start at once. After each fault the
same command must succeed and leave nothing to be done, and all records must equal those of the first run but for times.
The folder is a small file system of its own where root may mount one; otherwise no disk gets full, which is said.
A fault is drawn from the seed and its number. What was stopped goes on where it was. Exits with 1 after a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml
from compare_records import IGNORED, differences, rule_for

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/samples"))

from checkpoint_samples import save_checkpoint
from chunk_samples import byte_cnns, save_byte_cnn

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"), "--cores", "2"]
SEED, FAULTS = 23, 200
DISK = 10**9
"""Bytes of the file system."""
QUIET, DISTURBED = "quiet", "disturbed"
"""The folder of the undisturbed run, and of the one in which things go wrong."""
LOG, STATE = "last.log", "state.json"
LATEST = 8.0
"""Seconds after the start within which something is killed."""
HANGS = 600.0
"""Seconds after which a run counts as hanging."""


class FindingError(Exception):
    """Something broken stayed, or counted as done."""


@dataclass(frozen=True)
class Campaign:
    """A folder in which Snakemake runs."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, networks: int, byte_networks: int) -> Campaign:
        """Write checkpoints with random weights, and their config."""
        config = byte_cnns(byte_networks)
        shared = config["campaigns"]["edge"]
        config["campaigns"]["networks"] = {
            **{key: shared[key] for key in ("validation", "benchmark")},
            "family": "charged_higgs_particlenet",
            "axes": {"fold": list(range(networks))},
            "checkpoint": "weights/network-{fold}.pt",
            "formats": ["torchscript"],
        }
        for number in range(networks):
            save_checkpoint(folder / f"weights/network-{number}.pt", 16, salt=str(number))
        for number in range(byte_networks):
            save_byte_cnn(folder / f"weights/fold-{number}.pth", number)
        used = {name: campaign for name, campaign in config["campaigns"].items() if campaign["axes"]["fold"]}
        (folder / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps({"campaigns": used}))))
        return cls(folder)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command as the leader of a process group of its own."""
        with (self.folder.parent / LOG).open("w") as log:
            return subprocess.Popen(SNAKEMAKE, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)

    def complete(self) -> None:
        """Run the command, which must succeed."""
        process = self.start()
        try:
            code = process.wait(HANGS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise FindingError(f"the next run hangs for {HANGS:g} s") from None
        if code:
            raise FindingError(f"the next run fails:\n{(self.folder.parent / LOG).read_text()[-3000:]}")

    def check(self, quiet: Campaign) -> None:
        """Raise `FindingError` unless everything is as in the undisturbed run."""
        if left := [str(path) for path in (self.folder / "results").rglob(".*.part")]:
            raise FindingError(f"unfinished files are left: {left}")
        if not self._says("", [sys.executable, "-m", "modelferry", "verdict"]):
            raise FindingError("the verdict is not that all models passed")
        for found in differences(quiet.folder, self.folder):
            if not rule_for(found, IGNORED):
                raise FindingError(f"{found.path}: {found.field}: {found.old} → {found.new}")
        if not self._says("Nothing to be done", [*SNAKEMAKE, "-n"]):
            raise FindingError("there is still work to do")

    def _says(self, words: str, command: list[str]) -> bool:
        ended = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        return ended.returncode == 0 and words in ended.stdout + ended.stderr

    def processes(self) -> dict[int, str]:
        """Return the processes that work in the folder, with their command lines."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (entry / "cwd").readlink() == self.folder:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    found[int(entry.name)] = b" ".join(words).decode(errors="replace")
        return found

    def files(self) -> list[Path]:
        """Return all files that runs have made, Snakemake's own included."""
        tops = ("results", "reports", "logs", ".snakemake")
        return sorted(path for top in tops for path in (self.folder / top).rglob("*") if path.is_file())

    def lose_work(self, rng: Random) -> None:
        """Remove what was made of a model, of a template, or of all, so that there is something to do."""
        folders = sorted({path.parent for path in (self.folder / "results").rglob("*.done.json")})
        shutil.rmtree(rng.choice(folders))


Fault = Callable[[Campaign, Random], str]
"""Lets something go wrong and returns what it was."""


def kill(campaign: Campaign, rng: Random, choose: Callable[[dict[int, str], int], list[int]]) -> str:
    """Start a run, kill some of its processes, and wait for the end of the command itself."""
    campaign.lose_work(rng)
    run, delay = campaign.start(), rng.uniform(0.2, LATEST)
    time.sleep(delay)
    victims = choose(campaign.processes(), run.pid)
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.wait()
    return f"after {delay:.1f} s, {len(victims)} processes"


def killed_group(campaign: Campaign, rng: Random) -> str:
    """Kill Snakemake and all that belongs to it."""
    return kill(campaign, rng, lambda found, _: [*found])


def killed_snakemake(campaign: Campaign, rng: Random) -> str:
    """Kill Snakemake while its jobs go on."""
    return kill(campaign, rng, lambda _, leader: [leader])


def killed_job(campaign: Campaign, rng: Random) -> str:
    """Kill one process of the run, whichever, but Snakemake itself."""
    return kill(
        campaign, rng, lambda found, leader: rng.sample(sorted(found.keys() - {leader}), 1) if len(found) > 1 else []
    )


def killed_server(campaign: Campaign, rng: Random) -> str:
    """Kill the process from which jobs are forked, and those that it has forked."""
    return kill(
        campaign, rng, lambda found, _: [pid for pid, words in found.items() if "modelferry.cli.server" in words]
    )


def full_disk(campaign: Campaign, rng: Random) -> str:
    """Run with hardly any space left."""
    campaign.lose_work(rng)
    spare = rng.choice([0, 4_096, 65_536, 1_000_000, 3_000_000])
    ballast = campaign.folder.parent / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(campaign.folder).free - spare))
    campaign.start().wait()
    ballast.unlink()
    return f"{spare} bytes free"


def deleted(campaign: Campaign, rng: Random) -> str:
    """Delete a file."""
    return damaged(campaign, rng, Path.unlink)


def cut(campaign: Campaign, rng: Random) -> str:
    """Cut a file anywhere."""
    return damaged(campaign, rng, lambda path: os.truncate(path, rng.randrange(max(1, path.stat().st_size))))


def altered(campaign: Campaign, rng: Random) -> str:
    """Flip a bit of a file and leave its time as it was."""
    return damaged(campaign, rng, lambda path: flip(path, rng))


def dated_ahead(campaign: Campaign, rng: Random) -> str:
    """Date a file in the future."""
    return damaged(campaign, rng, lambda path: os.utime(path, (time.time() + 3e8,) * 2))


def damaged(campaign: Campaign, rng: Random, damage: Callable[[Path], object]) -> str:
    """Damage one file of those that runs have made."""
    path = rng.choice(campaign.files())
    damage(path)
    return str(path.relative_to(campaign.folder))


def flip(path: Path, rng: Random) -> None:
    """Flip one bit."""
    found, content = path.stat(), bytearray(path.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def another_config(campaign: Campaign, rng: Random) -> str:
    """Run with another config, which may be killed, before the old one is back."""
    path = campaign.folder / "config.yaml"
    text = path.read_text()
    config = yaml.safe_load(text)
    for settings in config["campaigns"].values():
        settings["validation"]["events"] += rng.randrange(1, 9)
    path.write_text(yaml.safe_dump(config))
    run, limit = campaign.start(), rng.uniform(0.2, 2 * LATEST)
    try:
        run.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    path.write_text(text)
    return f"for {limit:.1f} s"


def two_runs(campaign: Campaign, rng: Random) -> str:
    """Start the command a second time while it runs."""
    campaign.lose_work(rng)
    first, delay = campaign.start(), rng.uniform(0.0, LATEST / 2)
    time.sleep(delay)
    second = campaign.start()
    return f"after {delay:.1f} s, exit codes {first.wait()} and {second.wait()}"


KINDS: tuple[Fault, ...] = (
    killed_group, killed_snakemake, killed_job, killed_server, full_disk, deleted, cut, altered, dated_ahead,
    another_config, two_runs,
)  # fmt: skip


def mount(folder: Path) -> bool:
    """Return whether a folder is a small file system of its own, which it becomes if this user may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "modelferry-chaos", str(folder)]
    return os.path.ismount(folder) or subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Run undisturbed, then with one fault after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where it all happens; used again if it is there")
    parser.add_argument("--faults", type=int, default=FAULTS, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the faults (default: %(default)s)")
    parser.add_argument("--networks", type=int, default=2, help="charged-Higgs networks (default: %(default)s)")
    parser.add_argument("--byte-cnns", type=int, default=2, help="byte CNNs (default: %(default)s)")
    options = parser.parse_args()
    top = options.folder.resolve()
    mounted = mount(top)
    kinds = [kind for kind in KINDS if mounted or kind is not full_disk]
    if not mounted:
        print("no small file system can be mounted here: the disk never gets full", flush=True)
    quiet, disturbed = Campaign(top / QUIET), Campaign(top / DISTURBED)
    state = top / STATE
    if not state.exists():
        Campaign.make(quiet.folder, options.networks, options.byte_cnns).complete()
        shutil.copytree(quiet.folder, disturbed.folder, symlinks=True)
        state.write_text("[]")
    done = json.loads(state.read_text())
    for number in range(len(done), options.faults):
        rng = Random(f"{options.seed}:{number}")
        fault = rng.choice(kinds)
        what = fault(disturbed, rng)
        try:
            disturbed.complete()
            disturbed.check(quiet)
        except FindingError as finding:
            print(
                f"fault {number} of seed {options.seed}, {fault.__name__}: {what}\nfinding: {finding}\nsee {top}",
                flush=True,
            )
            return 1
        print(f"{number + 1:4} of {options.faults}  {fault.__name__:<18}{what}", flush=True)
        done.append(fault.__name__)
        state.write_text(json.dumps(done))
    print(f"{len(done)} faults, nothing lost: {', '.join(f'{count} {name}' for name, count in Counter(done).items())}")
    if mounted:
        subprocess.run(["umount", str(top)], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
