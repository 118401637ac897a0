"""The charged-Higgs ParticleNet: tt̄ → bW bH⁺, H⁺ → W A, A → μμ against nonprompt, diboson and ttZ.

Source: `choij1589/ChargedHiggsAnalysisV3`, folder `ParticleNet/python`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.checkpoints.shapes import Shapes
from modelferry.core.contract import LOGITS, Arrays, Contract, Dimension, Tensor
from modelferry.core.errors import EventFileError
from modelferry.core.events import EventSet, join
from modelferry.families import Family
from modelferry.families.charged_higgs_particlenet.edges import delta_r_edges
from modelferry.families.charged_higgs_particlenet.node_features import ERAS, era_one_hot, event_set
from modelferry.families.charged_higgs_particlenet.selection import Selection
from modelferry.families.charged_higgs_particlenet.sizes import NEIGHBOURS
from modelferry.families.transforms import FOLD_BATCH_NORM, NONE, REMOVE_DROPOUT, SPLIT_EDGE_LINEAR, STATIC_EDGES

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict

FEATURES = ("E", "Px", "Py", "Pz", "Charge", "IsMuon", "IsElectron", "IsJet", "IsBjet")
CLASSES = ("signal", "nonprompt", "diboson", "ttZ")
PARTICLES = Dimension(name="particles", minimum=1, typical=9, maximum=40, description="particles of one event")
EVENTS = Dimension(name="events", minimum=1, typical=8, maximum=64, description="events of a call")
DENSE_EVENTS = Dimension(name="events", minimum=1, typical=8, maximum=256, description="events of a call")
NODES = Dimension(name="nodes", minimum=1, typical=72, maximum=640, description="particles of all events")
EDGES = Dimension(name="edges", minimum=0, typical=288, maximum=2560, description="first-layer edges")
"""A contract promises what is proven on every artifact: the flat layout's memory grows with the square of `nodes`."""
FLAT_EDGES = (
    f"edge_index holds, for each particle, the edges to its {NEIGHBOURS} nearest in ΔR (fewer if the event has fewer), "
    "row 0 = the particle, row 1 = its neighbour: the networks were trained so, against the usual convention"
)

DENSE_MASK = (
    "mask is True where there is a particle, at any position, and other entries are ignored; the graph of "
    "the first layer is built inside, from ΔR; an event without any particle is outside this contract: it gets the "
    "logits of pooled features that are all 0, as in the trained network"
)


class ChargedHiggsParticleNet(Family):
    """Multi-class ParticleNet on particles in GeV, missing momentum included as the last particle."""

    name = "charged_higgs_particlenet"
    layouts = ("flat", "dense")
    reference_layout = "flat"
    batched_layout = "dense"
    packages = ("torch", "torch_geometric")
    hyperparameters = {"hidden": 128}
    sizes = ("particles",)
    graph_neighbours = NEIGHBOURS

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Read the width off the output layer."""
        shape = shapes.get("output.weight", ())
        return {"hidden": shape[1]} if len(shape) == 2 and "conv1.mlp.0.weight" in shapes else {}

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return the contract of the dense layout, or of the flat one: all particles in one list, with their event."""
        era = Tensor(name="graph_input", dtype="float32", shape=("events", 4), features=ERAS)
        return Contract(
            layout=layout,
            inputs=_dense_inputs(era) if layout == "dense" else _flat_inputs(era),
            outputs=(Tensor(name="logits", dtype="float32", shape=("events", 4), features=CLASSES),),
            dimensions=(PARTICLES, DENSE_EVENTS) if layout == "dense" else (PARTICLES, EVENTS, NODES, EDGES),
            classes=CLASSES,
            notes=(
                DENSE_MASK if layout == "dense" else FLAT_EDGES,
                "missing transverse momentum is the last particle: E = pt, Pz = 0, charge and flags 0",
                "a b jet has IsJet = IsBjet = 1",
                LOGITS,
            ),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the PyTorch Geometric network."""
        from modelferry.families.charged_higgs_particlenet.reference import ParticleNet

        return ParticleNet(hidden=hyperparameters["hidden"])

    def transforms(self, layout: str) -> tuple[str, ...]:
        """Return all, in either layout."""
        return (FOLD_BATCH_NORM, SPLIT_EDGE_LINEAR, REMOVE_DROPOUT)

    def approximations(self, layout: str) -> tuple[str, ...]:
        """Return what others have shipped as this network, in the layout in which it can be written."""
        return (STATIC_EDGES,) if layout == "flat" else ()

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> torch.nn.Module:
        """Return the pure-torch network; its keys are the checkpoint's unless `transforms` change them."""
        from modelferry.families.charged_higgs_particlenet.dense import DenseParticleNet
        from modelferry.families.charged_higgs_particlenet.flat import FlatParticleNet

        network = DenseParticleNet if layout == "dense" else FlatParticleNet
        return network(hyperparameters["hidden"], transforms)

    def convert(
        self, state_dict: StateDict, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> StateDict:
        """Return the checkpoint's weights, or those of the rewritten network computed from them."""
        from modelferry.families.charged_higgs_particlenet.layers import converted

        return converted(state_dict, transforms)

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

    def documented(self, seed: int) -> dict[str, list[Arrays]]:
        """Return an event without any particle: its pooled features are all 0, as in the trained network."""
        (event,) = self.sample({"events": 1, "particles": 1}, seed)
        return {"no particles": [{**event, "x": event["x"][:0]}]}

    def reordered(self, event: Arrays, rng: np.random.Generator) -> Arrays:
        """Return the event with its particles in another order: to a graph, it is the same."""
        return {**event, "x": event["x"][rng.permutation(len(event["x"]))]}

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Join events: padded with zeros (dense), or in one list with first-layer edges centre → neighbour (flat)."""
        if layout == "dense":
            return _padded(events)
        lengths = np.array([len(event["x"]) for event in events])
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        edges = [delta_r_edges(event["x"], NEIGHBOURS) + start for event, start in zip(events, offsets, strict=True)]
        return {
            "x": np.concatenate([event["x"] for event in events]),
            "edge_index": np.concatenate(edges, axis=1),
            "graph_input": np.stack([event["graph_input"] for event in events]),
            "batch": np.repeat(np.arange(len(events)), lengths),
        }

    def check_event_options(self, options: Mapping[str, Any]) -> None:
        """Raise `ConfigError` unless they are settings of a `Selection`."""
        Selection.of(options)

    def read_events(
        self, paths: Sequence[Path], hyperparameters: Mapping[str, Any], limit: int, **options: Any
    ) -> EventSet:
        """Read NanoAOD files, or the analysis's own; `options` are settings of a `Selection`.

        A file's era is in its path (``…/2018/…`` or ``…2018.root``), unless the options give it. The selection is for
        NanoAOD: the analysis's own files hold selected events.
        """
        from modelferry.families.charged_higgs_particlenet import analysis_tree, nanoaod

        selection = Selection.of(options)
        largest = PARTICLES.maximum
        sets: list[EventSet] = []
        for index, path in enumerate(paths):
            share = math.ceil((limit - sum(map(len, sets))) / (len(paths) - index))
            if share <= 0:
                break
            # What is missing is said in the order in which it is put right: the file, its tree, its branches, its era.
            if nanoaod.is_nanoaod(path):
                nanoaod.check_branches(path, selection)
                sets.append(nanoaod.read(path, selection.era or _era_in(path), selection, share, largest))
            else:
                collections = analysis_tree.read(path, max_events=share)
                sets.append(event_set(collections, selection.era or _era_in(path), str(path)))
        events = join(sets)
        if paths and not len(events):
            raise EventFileError(f"no event of {events.source} is selected", "loosen the options of `events`")
        return events

    def broken_inputs(self, layout: str | None = None) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        """Return exchanged features, no era, and reversed edges or, where these are inside, an ignored mask."""
        ways: dict[str, Callable[[Arrays, Contract], Arrays]] = {
            "features E and Px swapped": lambda inputs, _: {**inputs, "x": _swapped(inputs["x"], 0, 1)},
            "era forgotten": lambda inputs, _: {**inputs, "graph_input": np.zeros_like(inputs["graph_input"])},
        }
        if layout == "dense":
            ways["mask ignored"] = lambda inputs, _: {**inputs, "mask": np.ones_like(inputs["mask"])}
        else:
            ways["edges reversed"] = lambda inputs, _: {**inputs, "edge_index": inputs["edge_index"][::-1].copy()}
        return ways

    def broken_networks(self) -> dict[str, Callable[[torch.nn.Module], torch.nn.Module]]:
        """Return what exporters of this network have got wrong: its graphs, and its normalisation."""
        from modelferry.families.charged_higgs_particlenet import mistakes as broken

        return {
            "edges reversed": broken.reversed_edges,
            "edges of the input in all layers": broken.static_edges,
            "k changed by one": broken.one_neighbour_more,
            "normalisation over the batch": broken.normalised_over_the_batch,
        }


def _era_in(path: Path) -> str:
    era = next((era for era in ERAS if era in str(path)), None)
    if era is None:
        wanted = f"one of {', '.join(ERAS)} must be part of it, or `era` among the options of `events`"
        raise EventFileError(f"{path}: no era in its path", wanted)
    return era


def _flat_inputs(era: Tensor) -> tuple[Tensor, ...]:
    return (
        Tensor(name="x", dtype="float32", shape=("nodes", 9), features=FEATURES, unit="GeV"),
        Tensor(name="edge_index", dtype="int64", shape=(2, "edges"), below="nodes", description="centre, neighbour"),
        era,
        Tensor(
            name="batch", dtype="int64", shape=("nodes",), below="events", description="event of each particle, sorted"
        ),
    )


def _dense_inputs(era: Tensor) -> tuple[Tensor, ...]:
    return (
        Tensor(name="x", dtype="float32", shape=("events", "particles", 9), features=FEATURES, unit="GeV"),
        Tensor(name="mask", dtype="bool", shape=("events", "particles"), description="where there is a particle"),
        era,
    )


def _padded(events: Sequence[Arrays]) -> Arrays:
    lengths = np.array([len(event["x"]) for event in events])
    mask = np.arange(lengths.max()) < lengths[:, None]
    x = np.zeros((*mask.shape, len(FEATURES)), np.float32)
    x[mask] = np.concatenate([event["x"] for event in events])
    return {"x": x, "mask": mask, "graph_input": np.stack([event["graph_input"] for event in events])}


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
    order = np.arange(x.shape[-1])
    order[[first, second]] = second, first
    return np.ascontiguousarray(x[..., order])


FAMILY = ChargedHiggsParticleNet()
