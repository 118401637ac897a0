"""Measure what docs/jets.md claims: preparation, and jets a second from files to embeddings. Part of `make bench`.

One process, one thread. The way that people run such networks, one jet after the other in eager mode, is measured in
the same run as an artifact on whole batches of jets of like length: both read the same file and give the same outputs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import awkward as ak
import numpy as np
import torch
import uproot
from claims import Claim, print_claims

from modelferry.checkpoints.reader import fit, load_state_dict
from modelferry.checkpoints.shapes import read_shapes
from modelferry.core.contract import Arrays
from modelferry.core.environment import describe
from modelferry.families import load_family
from modelferry.families.hyperparameters import infer_hyperparameters
from modelferry.families.jets import Card, Jagged, prepare, read_card
from modelferry.families.jets.base import PREPARED, RAW, JetFamily
from modelferry.families.jets.sample import sample_jets
from modelferry.formats import Runner, load_format

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared/data"
JETS, ONE_BY_ONE = 4000, 100
CHUNK, BATCH = 2048, 32
FORMATS = ("onnx", "aotinductor")
SETTINGS = {"pair_activation": True}
SOFTMAX = 1e-5


def main() -> int:
    """Measure, print the bounds and the measurements."""
    torch.set_num_threads(1)
    print(f"{describe().cpu}, {describe().isa}, load average {describe().load_average}", flush=True)
    with tempfile.TemporaryDirectory(prefix="modelferry-bench-") as folder:
        path = Path(folder) / "jets.root"
        write_jets(path)
        claims = [*preparation_claims(path), *inference_claims(path, Path(folder)), *sheet_claims(Path(folder))]
    return print_claims(claims)


def write_jets(path: Path) -> None:
    """Write toy jets in JetClass's layout, with as many particles as JetClass has on average."""
    rng = np.random.default_rng(1)
    sizes = rng.normal(45, 15, JETS).clip(2, 128).astype(int)
    groups = [sample_jets(rng, int((sizes == size).sum()), int(size)) for size in np.unique(sizes)]
    order = rng.permutation(JETS)
    columns: dict[str, Any] = {}
    for name, first in groups[0].items():
        if isinstance(first, Jagged):
            whole = ak.concatenate([ak.unflatten(group[name].values, group[name].counts) for group in groups])
            columns[name] = whole[order]
        else:
            columns[name] = np.concatenate([group[name] for group in groups])[order]
    with uproot.recreate(path) as file:
        file["tree"] = columns


def chunks(path: Path, card: Card) -> Iterator[dict[str, ak.Array]]:
    """Yield the columns that a card needs, chunk by chunk."""
    with uproot.open(path) as file:
        for chunk in file["tree"].iterate(list(card.branches), step_size=CHUNK, library="ak"):
            yield {name: chunk[name] for name in card.branches}


def preparation_claims(path: Path) -> Iterator[Claim]:
    """Yield how many jets a second are prepared: to 128 positions, and to those of the longest jet."""
    for name in ("JetClass_kin", "JetClass_full"):
        card = read_card(name)
        given = list(chunks(path, card))
        for trim in (False, True):
            seconds = min(_seconds(partial(_prepare_all, card, given, trim)) for _ in range(3))
            yield Claim(f"prepare {name}{', trimmed' if trim else ''} [jets/s]", 20_000, JETS / seconds)


def _prepare_all(card: Card, given: list[dict[str, ak.Array]], trim: bool) -> None:
    for chunk in given:
        prepare(card, chunk, trim=trim)


def inference_claims(path: Path, folder: Path) -> Iterator[Claim]:
    """Yield how much faster the best artifact is than single jets in eager mode, reading and preparation included."""
    family = load_family("particle_transformer")
    hyperparameters = family.resolve(SETTINGS, {})
    bound = load_family("particle_transformer").configured(hyperparameters)
    assert isinstance(bound, JetFamily)
    torch.manual_seed(0)
    reference = bound.reference(hyperparameters).eval()
    truth: list[np.ndarray] = []
    slow = {
        "padded to 128": ONE_BY_ONE / _seconds(lambda: truth.extend(one_by_one(path, bound, reference, False))),
        "unpadded": ONE_BY_ONE / _seconds(lambda: one_by_one(path, bound, reference, True)),
    }
    for kind, rate in slow.items():
        print(f"eager, one jet after the other, {kind}: {rate:.1f} jets/s", flush=True)
    gains: dict[str, float] = {}
    for name in FORMATS:
        run = artifact(bound, hyperparameters, dict(reference.state_dict()), name, PREPARED, folder)
        found: list[np.ndarray] = []
        rate = JETS / _seconds(lambda run=run, found=found: found.append(in_batches(path, bound, run)))  # type: ignore[misc]
        apart = np.abs(found[0][:ONE_BY_ONE] - np.array(truth)).max()
        print(f"{name}, batches of {BATCH} of like length: {rate:.1f} jets/s, outputs within {apart:.1e}", flush=True)
        assert apart < 1e-4, "the two ways give other outputs"
        gains[name] = rate / slow["padded to 128"]
        print(f"{name} over eager single jets: {', '.join(f'{rate / r:.2f} × {kind}' for kind, r in slow.items())}")
    best = max(gains, key=lambda name: gains[name])
    yield Claim(f"{best} over eager single jets, padded to 128", 10, gains[best])


def one_by_one(path: Path, family: JetFamily, network: torch.nn.Module, trim: bool) -> list[np.ndarray]:
    """Return the logits of the first jets, each read, prepared and computed for itself."""
    rows = []
    with uproot.open(path) as file, torch.inference_mode():
        columns = file["tree"].arrays(list(family.card.branches), entry_stop=ONE_BY_ONE)
        for place in range(ONE_BY_ONE):
            one = {name: columns[name][place : place + 1] for name in family.card.branches}
            inputs = prepare(family.card, one, trim=trim).inputs
            logits, _ = network(*(torch.from_numpy(inputs[name]) for name in family.inputs))
            rows.append(logits.numpy()[0])
    return rows


def in_batches(path: Path, family: JetFamily, run: Runner) -> np.ndarray:
    """Return the logits of all jets, those of like length computed together."""
    rows = []
    for chunk in chunks(path, family.card):
        order = np.argsort(ak.to_numpy(ak.num(chunk["part_px"])), kind="stable")
        found = []
        for start in range(0, len(order), BATCH):
            part = {name: column[order[start : start + BATCH]] for name, column in chunk.items()}
            inputs = prepare(family.card, part, trim=True).inputs
            found.append(run({name: inputs[name] for name in family.inputs})["logits"])
        rows.append(np.concatenate(found)[np.argsort(order)])
    return np.concatenate(rows)


def artifact(
    family: JetFamily, hyperparameters: dict[str, Any], weights: Any, name: str, layout: str, folder: Path
) -> Runner:
    """Return a loaded artifact of a format."""
    target, transforms = load_format(name), frozenset(family.transforms(layout))
    network = family.deployable(hyperparameters, layout, transforms).eval()
    example = family.collate(family.sample({"jets": 8, "particles": 45}, 0), layout)
    template, out = (folder / f"{stem}-{layout}.{target.extension}" for stem in ("template", "model"))
    contract = family.contract(hyperparameters, layout)
    seconds = _seconds(lambda: target.build_template(network, contract, example, target.resolve_options({}), template))
    print(f"{family.name}, {name}, {layout}: template built in {seconds:.0f} s", flush=True)
    target.fill(template, family.convert(weights, hyperparameters, layout, transforms), {}, out)
    return target.load(out, 1)


def sheet_claims(folder: Path) -> Iterator[Claim]:
    """Yield how far compiled artifacts with public weights are from the outputs of weaver on 100 real jets."""
    sheet, jets = ROOT / "tests/facts/particlenet.json", DATA / "sophon"
    if not jets.is_dir():
        print(f"no public checkpoints in {DATA}: their outputs are not compared")
        return
    for variant in ("full", "kin"):
        path = DATA / f"particle_transformer/ParticleNet_{variant}.pt"
        family = load_family("particlenet")
        hyperparameters = family.resolve({}, infer_hyperparameters(family, read_shapes(path)))
        bound = load_family("particlenet").configured(hyperparameters)
        assert isinstance(bound, JetFamily)
        weights = fit(load_state_dict(path), bound.reference(hyperparameters), path)
        with uproot.open(jets / "JetClassII_example_100_as_JetClass.root") as file:
            events = bound.events_of({name: file["tree"][name].array() for name in bound.card.input_branches})
        truth = np.array(json.loads(sheet.read_text())[variant]["softmax"])
        for layout in (PREPARED, RAW):
            run = artifact(bound, hyperparameters, weights, "aotinductor", layout, folder)
            rows = [_softmax(run(bound.collate(events[start : start + 50], layout))) for start in (0, 50)]
            apart = float(np.abs(np.concatenate(rows) - truth).max())
            yield Claim(
                f"ParticleNet_{variant}, aotinductor, {layout}, from weaver [1e-6]", SOFTMAX * 1e6, apart * 1e6, False
            )


def _softmax(outputs: Arrays) -> np.ndarray:
    return torch.from_numpy(outputs["logits"]).softmax(1).numpy()


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
