"""The charged-Higgs ParticleNet: tt̄ → bW bH⁺, H⁺ → W A, A → μμ against nonprompt, diboson and ttZ.

Source: `choij1589/ChargedHiggsAnalysisV3`, folder `ParticleNet/python`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.contract import Arrays, Contract, Dimension, Tensor
from modelferry.errors import EventFileError
from modelferry.events import EventSet
from modelferry.events.edges import delta_r_edges
from modelferry.events.particles import ERAS, era_one_hot, event_weights, node_features
from modelferry.families import Family, Shapes
from modelferry.networks.charged_higgs_sizes import NEIGHBOURS

if TYPE_CHECKING:
    import torch

FEATURES = ("E", "Px", "Py", "Pz", "Charge", "IsMuon", "IsElectron", "IsJet", "IsBjet")
CLASSES = ("signal", "nonprompt", "diboson", "ttZ")
FLAT_EDGES = (
    f"edge_index holds, for each particle, the edges to its {NEIGHBOURS} nearest in ΔR (fewer if the event has fewer), "
    "row 0 = the particle, row 1 = its neighbour: the networks were trained so, against the usual convention"
)


class ChargedHiggsParticleNet(Family):
    """Multi-class ParticleNet on particles in GeV, missing momentum included as the last particle."""

    name = "charged_higgs_particlenet"
    layouts = ("flat",)
    reference_layout = "flat"
    packages = ("torch", "torch_geometric")
    hyperparameters = {"hidden": 128}
    size = "particles"
    graph_neighbours = NEIGHBOURS

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Read the width off the output layer."""
        shape = shapes.get("output.weight", ())
        return {"hidden": shape[1]} if len(shape) == 2 else {}

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return the flat contract: all particles of a batch in one list, with the event number of each."""
        particles = Dimension(name="particles", minimum=1, typical=9, maximum=40, description="particles of one event")
        events = Dimension(name="events", minimum=1, typical=8, maximum=64, description="events of a call")
        nodes = Dimension(name="nodes", minimum=1, typical=72, maximum=2560, description="particles of all events")
        edges = Dimension(name="edges", minimum=0, typical=288, maximum=10240, description="first-layer edges")
        return Contract(
            layout=layout,
            inputs=(
                Tensor(name="x", dtype="float32", shape=("nodes", 9), features=FEATURES, unit="GeV"),
                Tensor(name="edge_index", dtype="int64", shape=(2, "edges"), description="centre, neighbour"),
                Tensor(name="graph_input", dtype="float32", shape=("events", 4), features=ERAS),
                Tensor(name="batch", dtype="int64", shape=("nodes",), description="event of each particle, sorted"),
            ),
            outputs=(Tensor(name="logits", dtype="float32", shape=("events", 4), features=CLASSES),),
            dimensions=(particles, events, nodes, edges),
            classes=CLASSES,
            notes=(
                FLAT_EDGES,
                "missing transverse momentum is the last particle: E = pt, Pz = 0, charge and flags 0",
                "a b jet has IsJet = IsBjet = 1",
                "the output is logits: apply softmax for scores",
            ),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the PyTorch Geometric network."""
        from modelferry.networks.charged_higgs_reference import ParticleNet

        return ParticleNet(hidden=hyperparameters["hidden"])

    def deployable(self, hyperparameters: Mapping[str, Any], layout: str) -> torch.nn.Module:
        """Return the pure-torch network; its keys are the checkpoint's."""
        from modelferry.networks.charged_higgs_flat import FlatParticleNet

        return FlatParticleNet(hidden=hyperparameters["hidden"])

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return events of leptons, jets, b jets and missing momentum with falling pt spectra."""
        rng = np.random.default_rng(seed)
        return [_event(rng, dims["particles"]) for _ in range(dims["events"])]

    def special(self, seed: int) -> dict[str, list[Arrays]]:
        """Return events of equal particles, of one direction, and of no momentum but the missing one."""
        rng = np.random.default_rng(seed)
        equal, collinear, soft = _event(rng, 6), _event(rng, 7), _event(rng, 8)
        equal["x"][:] = equal["x"][0]
        scale = np.linspace(1, 3, 7, dtype=np.float32)[:, None]
        collinear["x"][:, :4] = collinear["x"][0, :4] * scale
        soft["x"][:-1, :4] *= np.float32(1e-3)
        return {"equal particles": [equal], "collinear particles": [collinear], "soft particles": [soft]}

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Join events to a flat batch; first-layer edges by ΔR, written centre → neighbour."""
        lengths = np.array([len(event["x"]) for event in events])
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        edges = [delta_r_edges(event["x"], NEIGHBOURS) + start for event, start in zip(events, offsets, strict=True)]
        return {
            "x": np.concatenate([event["x"] for event in events]),
            "edge_index": np.concatenate(edges, axis=1),
            "graph_input": np.stack([event["graph_input"] for event in events]),
            "batch": np.repeat(np.arange(len(events)), lengths),
        }

    def read_events(self, paths: Sequence[Path], hyperparameters: Mapping[str, Any], limit: int) -> EventSet:
        """Read the analysis's own ROOT files; a file's era is in its path (``…/2018/…`` or ``…2018.root``)."""
        from modelferry.events import analysis_tree, join

        sets: list[EventSet] = []
        for path in paths:
            era = next((era for era in ERAS if era in str(path)), None)
            if era is None:
                raise EventFileError(f"{path}: no era in its path", f"one of {', '.join(ERAS)} must be part of it")
            collections = analysis_tree.read(path, max_events=max(1, limit // len(paths)))
            events = [{"x": x, "graph_input": era_one_hot(era)} for x in node_features(collections)]
            labels = np.full(len(events), -1, dtype=np.int64)
            sets.append(EventSet(events, labels, event_weights(collections), str(path)))
        return join(sets)

    def broken_inputs(self) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        """Return reversed first-layer edges, two exchanged features, and a forgotten era."""
        return {
            "edges reversed": lambda inputs, _: {**inputs, "edge_index": inputs["edge_index"][::-1].copy()},
            "features E and Px swapped": lambda inputs, _: {**inputs, "x": _swapped(inputs["x"], 0, 1)},
        }


def _event(rng: np.random.Generator, particles: int) -> Arrays:
    """One event: up to three leptons, then jets of which a third are b jets, missing momentum last."""
    pt = 15 + rng.exponential(50, particles)
    eta, phi = rng.uniform(-2.5, 2.5, particles), rng.uniform(-np.pi, np.pi, particles)
    leptons = min(3, particles - 1)
    kind = np.where(np.arange(particles) < leptons, rng.integers(0, 2, particles), 2 + (rng.random(particles) < 0.33))
    mass = np.choose(kind, [0.1057, 0.0005, 8.0, 12.0])
    charge = np.where(kind < 2, rng.choice([-1, 1], particles), 0)
    kind[-1], eta[-1], mass[-1], charge[-1] = 4, 0, 0, 0
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    momentum = [energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    flags = [kind == 0, kind == 1, (kind == 2) | (kind == 3), kind == 3]
    x = np.stack([*momentum, charge, *flags], axis=1).astype(np.float32)
    return {"x": x, "graph_input": era_one_hot(ERAS[rng.integers(len(ERAS))])}


def _swapped(x: np.ndarray, first: int, second: int) -> np.ndarray:
    order = np.arange(x.shape[1])
    order[[first, second]] = second, first
    return np.ascontiguousarray(x[:, order])


FAMILY = ChargedHiggsParticleNet()
