"""Mutate checkpoints and files of events, and give them to planner, loader and readers: ``make fuzz-files``.

``python bench/fuzz_files.py [--kinds pickle,root] [--cases N] [--seed N] [--state FILE]``. Of each kind, N small valid
files are mutated: bits, bytes, pieces cut, doubled, moved or taken from another, numbers in text; also inside of what a
zip or a header protects. Each has to be taken, or refused in one line, within 2 s of this process and 1 GB, and nothing
in it may be executed. With a state file, a run that was stopped goes on where it was. Exits with 1 if anything else
came out; a finding names the case, which ``--only`` repeats.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED, CASES = 17, 2_000
SECONDS, BYTES, SPARE = 2.0, 10**9, 3 * 10**9
CODE_RAN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "pty.spawn")
"""Events of Python's audit that nothing in a file may cause."""
NUMBERS = (b"0", b"-1", b"1e400", b"NaN", b"null", b'"a"', b"[]", b"{}", b"1000000000000", b"[[1]]", b"true", b"0.5")
Read = Callable[[Path], None]


def main() -> int:
    """Run all kinds, each in a process that is started again where a case ended it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--only", type=int, help="this case only")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    if options.child:
        return child(kinds, options.cases, options.seed, options.only)
    state: dict[str, Any] = {"seed": options.seed, "done": {}, "findings": []}
    if options.state and options.state.exists():
        state = json.loads(options.state.read_text())
    counts = {kind: state["done"].get(kind, [0, 0, 0]) for kind in kinds}
    while pending := [kind for kind in kinds if counts[kind][0] < options.cases]:
        started = {kind: counts[kind][0] for kind in pending}
        command = [sys.executable, __file__, "--child", "--kinds", ",".join(f"{k}:{n}" for k, n in started.items())]
        command += ["--cases", str(options.cases), "--seed", str(state["seed"])]
        command += [] if options.only is None else ["--only", str(options.only)]
        current = ""
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                kind, _, outcome = json.loads(line)
                if outcome == "started":
                    current = kind
                    continue
                counts[kind][0] += 1
                counts[kind][1 if outcome == "taken" else 2] += 1
                if outcome not in ("taken", "refused"):
                    state["findings"].append([kind, counts[kind][0] - 1, outcome])
                    print(f"{kind} {counts[kind][0] - 1}: {outcome}", flush=True)
                if sum(done for done, *_ in counts.values()) % 200 == 0:
                    save(options.state, state, counts)
            said = (process.stderr.read() if process.stderr else "").strip().splitlines()
        if process.returncode:
            if not current:
                sys.exit("\n".join(said[-20:]))
            outcome = f"the process ended with {process.returncode}: {said[-1] if said else ''}"
            state["findings"].append([current, counts[current][0], outcome])
            print(f"{current} {counts[current][0]}: {outcome}", flush=True)
            counts[current][0] += 1
        save(options.state, state, counts)
        if options.only is not None:
            break
    for kind, (done, taken, refused) in counts.items():
        print(f"{kind}: {done:,} mutated files, {taken:,} taken, {refused:,} refused in one line")
    print(f"{len(state['findings'])} findings, seed {state['seed']}")
    return 1 if state["findings"] else 0


def save(path: Path | None, state: dict[str, Any], counts: dict[str, list[int]]) -> None:
    """Keep what was done."""
    if path:
        state["done"] = counts
        path.write_text(json.dumps(state))


def child(kinds: list[str], cases: int, seed: int, only: int | None) -> int:
    """Read the mutated files of all kinds in this process, and say what became of each."""
    read = {name: KINDS[name][1]() for name, _, _ in (kind.partition(":") for kind in kinds)}
    ran: list[str] = []
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + SPARE, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory(prefix="modelferry-fuzz-") as folder:
        os.chdir(folder)
        files = {name: KINDS[name][0](Path(folder)) for name in read}
        every = [content for contents in files.values() for content in contents]
        for reader in read.values():  # what is imported or remembered at the first call is not the file's
            outcome_of(reader, Path("absent"), ran)
        sys.addaudithook(lambda event, _: ran.append(event) if event in CODE_RAN else None)
        for kind in kinds:
            name, _, first = kind.partition(":")
            for number in range(int(first or 0), cases) if only is None else [only]:
                say(name, number, "started")
                rng = random.Random(f"{seed}:{name}:{number}")
                path = Path(folder) / f"file{KINDS[name][2]}"
                path.write_bytes(mutated(rng, rng.choice(files[name]), every))
                say(name, number, outcome_of(read[name], path, ran))
    return 0


def outcome_of(read: Read, path: Path, ran: list[str]) -> str:
    """Return ``taken``, ``refused``, or what went wrong."""
    from modelferry.core.errors import ModelferryError

    ran.clear()
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    signal.setitimer(signal.ITIMER_PROF, 15 * SECONDS)  # the process dies of it
    outcome = "taken"
    try:
        read(path)
    except ModelferryError as error:
        first, *rest = str(error).splitlines() or [""]
        named = "refused" if first and (not rest or "a byte CNN needs" in rest[0]) else f"said {str(error)!r}"
        outcome = named
    except BaseException as error:
        outcome = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - started
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if ran:
        return f"it ran {ran}"
    if seconds > SECONDS or grown > BYTES:
        return f"it took {seconds:.1f} s and {grown / 1e6:.0f} MB ({outcome})"
    return outcome


def say(kind: str, number: int, outcome: str) -> None:
    """Tell the parent."""
    print(json.dumps([kind, number, outcome]), flush=True)


def address_space() -> int:
    """Return the bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def mutated(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Return a file with a mistake, or up to four, sometimes inside of what a zip or a header protects."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if content[:2] == b"PK" and rng.random() < 0.6:
            content = _inside_zip(rng, content, others)
        elif content[8:9] == b"{" and rng.random() < 0.6:
            length = int.from_bytes(content[:8], "little")
            header = _damaged(rng, content[8 : 8 + length], others)
            content = struct.pack("<Q", len(header)) + header + content[8 + length :]
        else:
            content = _damaged(rng, content, others)
    return content


def _inside_zip(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as changed:
            names = archive.namelist()
            chosen = rng.choice([name for name in names if name.endswith(".pkl")] or names)
            if rng.random() < 0.3:
                chosen = rng.choice(names)
            for name in names:
                data = archive.read(name)
                changed.writestr(name, _damaged(rng, data, others) if name == chosen else data)
    except Exception:  # it was damaged before
        return _damaged(rng, content, others)
    return out.getvalue()


def _damaged(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    data = bytearray(content)
    if not data:
        return bytes(rng.choices(range(256), k=8))
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 2, 4, 8, 64, 1024)))
    kind = rng.randrange(10)
    if kind == 0:
        data[start] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[start:stop] = bytes(rng.choices(range(256), k=stop - start))
    elif kind == 2:
        data[start:stop] = rng.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * (stop - start)
    elif kind == 3:
        del data[start:stop]
    elif kind == 4:
        data[start:start] = data[start:stop] * rng.choice((1, 2, 100))
    elif kind == 5:
        del data[start:]
    elif kind == 6:
        other = rng.choice(others)
        from_ = rng.randrange(max(len(other), 1))
        data[start:stop] = other[from_ : from_ + rng.choice((4, 64, 1024))]
    elif kind == 7:
        data[start:start] = rng.choice(OPCODES)
    else:
        data = _other_number(rng, data)
    return bytes(data)


def _other_number(rng: random.Random, data: bytearray) -> bytearray:
    """Replace a number in a text, if there is one near a place; else the bytes of one."""
    start = rng.randrange(len(data))
    while start < len(data) and not 48 <= data[start] <= 57:
        start += 1
    stop = start
    while stop < len(data) and 48 <= data[stop] <= 57:
        stop += 1
    data[start:stop] = rng.choice(NUMBERS)
    return data


OPCODES = (
    *(bytes([code]) for code in b"(t\x85\x86\x87]}\x8f\x90suRb02QN\x88\x94"),
    b"cos\nsystem\nX\x04\x00\x00\x00true\x85R", b"c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R",
    b"r\xff\xff\xff\x7f", b"\x8e" + struct.pack("<Q", 2**61), b"\x95" + struct.pack("<Q", 2**61),
    b"cbuiltins\neval\nVopen('PWNED','w')\n\x85R", b"I2147483648\n", b"(I99999999999\nt", b"M\xff\xff",
    b"ccollections\nOrderedDict\n)R",
)  # fmt: skip
"""What may stand in a pickle, and what must not do anything there."""


def checkpoints(write: Callable[[Any, Path], None], suffix: str) -> Callable[[Path], list[bytes]]:
    """Return what writes small checkpoints of byte CNNs: bare, wrapped, and of Lightning's structure."""

    def made(folder: Path) -> list[bytes]:
        import torch

        from modelferry.families import load_family

        torch.manual_seed(0)
        family, found = load_family("bytecnn"), []
        for convolutions in ([[4, 3, False]], [[4, 3, True], [6, 3, True]]):
            hyperparameters = family.resolve({"embedding": 3, "convolutions": convolutions, "dense": 4}, {})
            state = family.reference(hyperparameters).state_dict()
            wrapped = {"model_state_dict": state, "epoch": 3, "accuracy": 0.9}
            lightning = {
                "state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "epoch": 1, "callbacks": {},
                "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]}],
                "hyper_parameters": {"width": 3},
            }  # fmt: skip
            for content in (lightning,) if suffix == ".ckpt" else (dict(state), wrapped):
                path = folder / f"valid{suffix}"
                write(content, path)
                found.append(path.read_bytes())
        return found

    return made


def _as_json(content: Any, path: Path) -> None:
    state = content.get("model_state_dict", content)
    names = {name.replace(".", "_").removesuffix("_tracked"): tensor.tolist() for name, tensor in state.items()}
    names = {name: values for name, values in names.items() if "num_batches" not in name}
    names["embedding"] = names.pop("embedding_weight")
    path.write_text(
        json.dumps({"model_info": {"name": "a", "accuracy": 0.9}, "architecture": {"max_len": 64}, "weights": names})
    )


def _as_safetensors(content: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(dict(content.get("model_state_dict", content)), path)


def _as_zip(content: Any, path: Path) -> None:
    import torch

    torch.save(content, path)


def _as_stream(content: Any, path: Path) -> None:
    import torch

    torch.save(content, path, _use_new_zipfile_serialization=False)


def plan_and_load() -> Read:
    """Return what plans a model with a checkpoint, and then loads its weights into its network."""
    import torch

    from modelferry.config import Config
    from modelferry.families.hyperparameters import find_family
    from modelferry.families.weights import trained_weights
    from modelferry.plan.models import plan_model

    torch.set_num_threads(1)
    campaign = {"family": "bytecnn", "axes": {"a": [0]}, "checkpoint": "x", "formats": ["json", "onnx"]}
    (model,) = Config.model_validate({"campaigns": {"c": campaign}}).models()

    def read(path: Path) -> None:
        planned = plan_model(dataclasses.replace(model, checkpoint=str(path), missing=""))
        find_family(path)
        planned.check()
        trained_weights(planned.family, planned.hyperparameters, str(path))

    return read


def events(suffix: str) -> Callable[[Path], list[bytes]]:
    """Return what writes small files of toy jets."""

    def made(folder: Path) -> list[bytes]:
        from modelferry.demo.jet_toys import mixed, write

        found = []
        for number, jets in enumerate((3, 40)):
            path = folder / f"valid-{number}{suffix}"
            write(path, mixed(jets, number))
            found.append(path.read_bytes())
        return found

    return made


def read_events() -> Read:
    """Return what reads jets as the Particle Transformer takes them."""
    from modelferry.families import load_family
    from modelferry.families.jets.card import read_card

    family, card = load_family("particle_transformer"), read_card("JetClass_full")

    def read(path: Path) -> None:
        family.count_jets(path)
        for _ in family.read_jets(path, card, 2048):
            pass

    return read


KINDS: dict[str, tuple[Callable[[Path], list[bytes]], Callable[[], Read], str]] = {
    "pickle": (checkpoints(_as_zip, ".pt"), plan_and_load, ".pt"),
    "stream": (checkpoints(_as_stream, ".pth"), plan_and_load, ".pth"),
    "safetensors": (checkpoints(_as_safetensors, ".safetensors"), plan_and_load, ".safetensors"),
    "json": (checkpoints(_as_json, ".json"), plan_and_load, ".json"),
    "ckpt": (checkpoints(_as_zip, ".ckpt"), plan_and_load, ".ckpt"),
    "root": (events(".root"), read_events, ".root"),
    "parquet": (events(".parquet"), read_events, ".parquet"),
}
"""By name: what writes valid files, what reads them, and how they end."""


if __name__ == "__main__":
    sys.exit(main())
