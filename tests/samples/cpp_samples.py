"""What the C++ tests read: artifacts, some with recorded outputs, a network that fails, and edges of many events."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import torch

import modelferry
from checkpoint_samples import save_checkpoint
from modelferry.config import Config
from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.families import load_family
from modelferry.families.charged_higgs_particlenet.dense import nearest
from modelferry.families.charged_higgs_particlenet.edges import delta_r_edges
from modelferry.formats import aotinductor, load_format
from modelferry.formats.shared.pt2_archive import Kind, read_archive, write_archive
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.stages.export.artifact import export_model
from modelferry.stages.export.template import build_template

FORMATS = ("torchscript", "aotinductor")
EVENTS = 10_000
NEIGHBOURS = 4


def make(folder: Path) -> None:
    """Write all samples to `folder`."""
    planned = export(folder)
    record_outputs(planned, folder)
    spoil(folder)
    failing_network(folder / "failing.pt")
    hostile_folders(folder)
    identity_network(folder / "identity.pt")
    image_network(folder / "images.aoti.pt2")
    record_edges(folder)


def export(folder: Path) -> PlannedModel:
    """Export a narrow network of the dense layout to both formats, each in a folder named like it."""
    save_checkpoint(folder / "weights.pt", 16)
    campaign = {
        "family": "charged_higgs_particlenet",
        "axes": {"fold": [0]},
        "checkpoint": str(folder / "weights.pt"),
        "formats": [{"format": name, "layout": "dense", "name": name} for name in FORMATS],
    }
    planned = next(iter(Plan(Config.model_validate({"campaigns": {"samples": campaign}})).models.values()))
    before = Path.cwd()
    try:
        os.chdir(folder)
        for name in FORMATS:
            build_template(planned.template(name))
            export_model(planned, name)
            Path(planned.artifact(name)).parent.rename(name)
    finally:
        os.chdir(before)
    return planned


def record_outputs(planned: PlannedModel, folder: Path) -> None:
    """Write inputs of a call, and what Python makes of them."""
    family = load_family("charged_higgs_particlenet")
    inputs = family.collate(family.sample({"events": 8, "particles": 20}, 7), "dense")
    for name, array in inputs.items():
        (folder / f"dense.{name}").write_bytes(array.tobytes())
    for name in FORMATS:
        target = planned.template(name).format
        path = folder / name / Path(planned.artifact(name)).name
        outputs = load_format(target).load(path, threads=1)(inputs)
        (folder / f"{name}.logits").write_bytes(outputs["logits"].tobytes())


def spoil(folder: Path) -> None:
    """Write packages that say they were made for another PyTorch, and for another CPU."""
    package = next((folder / "aotinductor").glob("*.pt2"))
    entries = read_archive(package, Kind.PACKAGE)
    target = json.loads(entries[aotinductor.TARGET])
    for name, change in (("other-torch", {"torch": "1.0.0"}), ("other-isa", {"isa": "riscv128"})):
        changed = {**entries, aotinductor.TARGET: json.dumps({**target, **change}).encode()}
        write_archive(changed, folder / f"{name}.aoti.pt2")


class Failing(torch.nn.Module):
    """Two outputs, and a failure for an index beyond the end."""

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.index_select(0, index), x.sum(0)


def failing_network(path: Path) -> None:
    """Write a TorchScript archive whose contract does not bound its indices."""
    contract = Contract(
        layout="flat",
        inputs=(
            Tensor(name="x", dtype="float32", shape=("nodes", 2)),
            Tensor(name="index", dtype="int64", shape=("chosen",)),
        ),
        outputs=(
            Tensor(name="rows", dtype="float32", shape=("chosen", 2)),
            Tensor(name="sum", dtype="float32", shape=(2,)),
        ),
        dimensions=tuple(Dimension(name=name, minimum=0, typical=3, maximum=9) for name in ("nodes", "chosen")),
    )
    module = torch.jit.script(Failing())
    torch.jit.save(module, str(path), _extra_files={"contract.json": contract.model_dump_json()})
    path.rename(path.with_suffix(""))


def identity_network(path: Path) -> None:
    """Write a TorchScript archive whose output is its input, under its name."""
    rows = Tensor(name="x", dtype="float32", shape=("rows", 4))
    rising = Dimension(name="rows", minimum=1, typical=1, maximum=8)
    contract = Contract(layout="flat", inputs=(rows,), outputs=(rows,), dimensions=(rising,))
    module = torch.jit.script(torch.nn.Identity())
    torch.jit.save(module, str(path), _extra_files={"contract.json": contract.model_dump_json()})


def hostile_folders(folder: Path) -> None:
    """Write archives like the one of `failing_network` whose top folder lies outside of where they are extracted."""
    with zipfile.ZipFile(folder / "failing") as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    for name, top in (("absolute", ""), ("above", ".."), ("here", ".")):
        with zipfile.ZipFile(folder / f"top-{name}.pt", "w") as hostile:
            for entry, data in entries.items():
                hostile.writestr(f"{top}/{entry}", data)


def image_network(path: Path) -> None:
    """Write a package for images of one channel, which PyTorch may take for channels-last by their strides."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3))
    modelferry.export(network, path, inputs=torch.randn(2, 1, 8, 8), dynamic={0: "images"})


def record_edges(folder: Path) -> None:
    """Write events and the edges that Python finds: every fourth has particles twice, or mirrored in η."""
    rng = np.random.default_rng(11)
    family = load_family("charged_higgs_particlenet")
    events = [event["x"] for n in range(1, 21) for event in family.sample({"events": EVENTS // 20, "particles": n}, n)]
    for number, x in enumerate(events):
        half = len(x) // 2
        if number % 4 == 1:
            x[half : 2 * half] = x[:half]
        elif number % 4 == 2:
            x[half : 2 * half] = x[:half] * np.float32([1, 1, 1, -1, 1, 1, 1, 1, 1])
    rng.shuffle(events)
    starts = np.cumsum([0, *(len(x) for x in events[:-1])])
    delta_r = np.concatenate([delta_r_edges(x, NEIGHBOURS) + s for x, s in zip(events, starts, strict=True)], axis=1)
    knn = np.concatenate([knn_edges(x) + s for x, s in zip(events, starts, strict=True)], axis=1)
    arrays = {
        "x": np.concatenate(events),
        "batch": np.repeat(np.arange(len(events)), [len(x) for x in events]),
        "delta_r": delta_r,
        "knn": knn,
    }
    for name, array in arrays.items():
        (folder / f"edges.{name}").write_bytes(np.ascontiguousarray(array).tobytes())
    sizes = {"nodes": len(arrays["x"]), "delta_r": delta_r.shape[1], "knn": knn.shape[1]}
    (folder / "edges.json").write_text(json.dumps(sizes))


def knn_edges(x: np.ndarray) -> np.ndarray:
    """Return the graph that the dense network builds: row 0 = neighbour, row 1 = centre."""
    nodes = torch.from_numpy(x)
    apart = nodes.unsqueeze(1) - nodes.unsqueeze(0)
    distance = (apart * apart).sum(-1).fill_diagonal_(torch.inf)
    count = min(NEIGHBOURS, len(x) - 1)
    if count == 0:
        return np.zeros((2, 0), np.int64)
    index = nearest(distance.unsqueeze(0), count)[0]
    return np.stack([index.flatten().numpy(), np.repeat(np.arange(len(x)), count)])
