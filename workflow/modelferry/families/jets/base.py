"""What families of jet taggers share: events are columns as they are in files, and a data card prepares them.

Layout `prepared` takes what the card makes of columns; layout `raw` takes the columns, and the card's preparation is
part of the network. One event serves both, so that each is validated against the other.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelferry.core.contract import LOGITS, Arrays, Contract, Dimension, Tensor
from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ConfigError, EventFileError
from modelferry.core.events import EventSet, JetChunk, join
from modelferry.families import Family
from modelferry.families.jets import Card, Jagged, packaged_cards, prepare, read_card
from modelferry.families.jets.layouts import (
    PREPARED_MISTAKES,
    PREPARED_NOTE,
    RAW_MISTAKES,
    RAW_NOTE,
    padded,
    prepared_input,
    raw_inputs,
)
from modelferry.families.jets.sample import sample_jets
from modelferry.families.transforms import NONE

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict
    from modelferry.families.jets import Column

PREPARED, RAW = "prepared", "raw"
JETS = Dimension(name="jets", minimum=1, typical=8, maximum=64, description="jets of a call")
LONGEST = 128
"""Particles that are taken of a jet: the first ones, in the card's order."""
MASK = "pf_mask"
"""The input that says which particles are real."""
RAW_PREFIX = "network."
"""Before the names of weights where the preparation is inside: it has none."""


class JetFamily(Family):
    """A tagger of jets whose inputs a data card prepares; the hyperparameter `card` is a path, or a packaged name."""

    layouts = (PREPARED, RAW)
    reference_layout = PREPARED
    sizes = ("particles",)
    batch = "jets"
    inputs: ClassVar[tuple[str, ...]]
    """The card's inputs that the network takes, in order; one is `MASK`."""
    cards: ClassVar[Mapping[int, str]] = {}
    """Packaged cards by the number of features, for networks whose config names none."""

    unperturbed: ClassVar[tuple[str, ...]] = ()
    """Columns that are not perturbed to find near-ties: their float32 rounding is part of the definition."""

    def __init__(self, hyperparameters: Mapping[str, Any] | None = None) -> None:
        self.card = self.card_of(self.hyperparameters if hyperparameters is None else hyperparameters)

    def configured(self, hyperparameters: Mapping[str, Any]) -> JetFamily:
        """Return the family with the card of a network."""
        return type(self)(hyperparameters)

    def card_of(self, hyperparameters: Mapping[str, Any]) -> Card:
        """Return the data card of a network; raise `ConfigError` if it does not prepare what the network takes."""
        name, features = hyperparameters["card"], hyperparameters["features"]
        if not name and features not in self.cards:
            raise ConfigError(f"no data card is known for {features} features a particle", "set `card` to yours")
        name = name or self.cards[features]
        card = read_card(name)
        if missing := [wanted for wanted in self.inputs if wanted not in card.inputs]:
            raise ConfigError(f"data card {name} has no input {', '.join(missing)}", f"{self.name} takes it")
        given = {wanted: card.inputs[wanted] for wanted in self.inputs}
        if (count := len(given["pf_features"].vars)) != features:
            raise ConfigError(f"data card {name} has {count} features, and the network takes {features}", "set `card`")
        if given[MASK].pad_mode != "constant" or given[MASK].vars[0].pad != 0:
            raise ConfigError(f"data card {name}: {MASK} is not padded with 0", "set its pad_mode to constant")
        return card

    def resolve(self, given: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters, and the digest of the card: what it says is part of the architecture."""
        known = super().resolve(given, inferred)
        self.card_of(known)
        name = known["card"] or self.cards[known["features"]]
        digest = sha256_of_file(packaged_cards().get(name, Path(name)))
        if known["card_sha256"] not in ("", digest):
            raise ConfigError(f"data card {name} is not the one with sha256 {known['card_sha256'][:12]}…", "drop that")
        return {**known, "card": name, "card_sha256": digest}

    def own_classes(self, hyperparameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the classes, if the card has as many as the network."""
        names = self.card_of(hyperparameters).classes
        return names if len(names) == hyperparameters["classes"] else ()

    def own_outputs(self, hyperparameters: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Return the outputs: logits, named by class where the names are known."""
        size, names = hyperparameters["classes"], self.own_classes(hyperparameters)
        return (Tensor(name="logits", dtype="float32", shape=("jets", size), features=names),)

    def notes(self, hyperparameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what else a contract says."""
        return ()

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return the contract: prepared inputs as (jets, channels, particles), or columns as (jets, particles, …)."""
        card = self.card_of(hyperparameters)
        longest = min(LONGEST, *(card.inputs[name].length or LONGEST for name in self.inputs))
        size = Dimension(
            name="particles",
            minimum=1,
            typical=min(45, longest),
            maximum=longest,
            description="particles of the longest jet of a call",
        )
        inputs = raw_inputs(card) if layout == RAW else tuple(prepared_input(card, name) for name in self.inputs)
        return Contract(
            layout=layout,
            inputs=inputs,
            outputs=self.own_outputs(hyperparameters),
            dimensions=(JETS, size),
            classes=self.own_classes(hyperparameters),
            preparation=card.preparation(MASK) if layout == PREPARED else None,
            notes=(
                f"of a jet with more than {longest} particles give the first {longest}"
                + (f", in rising order of {card.order_by}" if card.order_by else ", as they are stored"),
                RAW_NOTE if layout == RAW else PREPARED_NOTE,
                LOGITS,
                *self.notes(hyperparameters),
            ),
        )

    @abstractmethod
    def network(self, hyperparameters: Mapping[str, Any], transforms: frozenset[str]) -> torch.nn.Module:
        """Return the pure-torch network of prepared jets."""

    @abstractmethod
    def network_weights(self, state_dict: StateDict, transforms: frozenset[str]) -> StateDict:
        """Return the checkpoint's weights as those of `network`."""

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> torch.nn.Module:
        """Return the pure-torch network, in the layout `raw` with its card's preparation before it."""
        network = self.network(hyperparameters, transforms)
        if layout != RAW:
            return network
        from modelferry.families.jets.preparation_module import Prepare, Raw, RawOfTwo

        inside = Prepare(self.card_of(hyperparameters), self.inputs)
        kinds = (Raw, RawOfTwo)
        return kinds[len(self.own_outputs(hyperparameters)) - 1](inside, network)

    def convert(
        self, state_dict: StateDict, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> StateDict:
        """Return the checkpoint's weights, or those of the rewritten network computed from them."""
        weights = self.network_weights(state_dict, transforms)
        return {f"{RAW_PREFIX}{name}": tensor for name, tensor in weights.items()} if layout == RAW else weights

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return jets with falling pt spectra, most particles near the axis."""
        jets = sample_jets(np.random.default_rng(seed), dims["jets"], dims["particles"])
        return self.events_of(jets)

    def events_of(self, columns: Mapping[str, Column]) -> list[Arrays]:
        """Return the jets of `columns` as events: their particles, (n, columns), and what is said of the jet."""
        from modelferry.families.jets.columns import as_columns

        names, of_jets = self.card.particle_branches, self.card.jet_branches
        values = as_columns(columns, (*names, *of_jets))
        for name, value in values.items():
            if isinstance(value, Jagged) != (name in names):
                raise EventFileError(
                    f"column {name} is a number a {'particle' if name in of_jets else 'jet'}",
                    "the data card tells by their names, jet_…, and by `jet_columns`, which are numbers a jet",
                )
        jagged = [value for name in names if isinstance(value := values[name], Jagged)]
        particles = np.stack([value.values for value in jagged], axis=1)
        jets = (
            np.stack([np.asarray(values[name]) for name in of_jets], axis=1)
            if of_jets
            else np.empty((len(jagged[0].counts), 0))
        )
        ends = np.cumsum(jagged[0].counts)[:-1]
        return [
            {"particles": rows, "jet": jet.astype(np.float32)}
            for rows, jet in zip(np.split(particles, ends), jets, strict=True)
        ]

    def columns_of(self, events: Sequence[Arrays]) -> dict[str, Column]:
        """Return events as columns again."""
        counts = np.array([len(event["particles"]) for event in events], np.int64)
        particles = np.concatenate([event["particles"] for event in events])
        jets = np.stack([event["jet"] for event in events])
        columns: dict[str, Column] = {
            n: Jagged(particles[:, i], counts) for i, n in enumerate(self.card.particle_branches)
        }
        return columns | {name: jets[:, i] for i, name in enumerate(self.card.jet_branches)}

    def special(self, seed: int) -> dict[str, list[Arrays]]:
        """Return jets of equal particles, of particles along one direction, of soft ones, and of none at all."""
        one, equal, along, soft = (self.sample({"jets": 1, "particles": n}, seed + n)[0] for n in (1, 20, 21, 22))
        momenta = self.indices("part_px", "part_py", "part_pz", "part_energy")
        directions = self.indices("part_deta", "part_dphi")
        equal["particles"][:] = equal["particles"][0]
        scale = np.linspace(1, 3, len(along["particles"]), dtype=np.float32)[:, None]
        along["particles"][:, momenta] = along["particles"][0, momenta] * scale
        along["particles"][:, directions] = along["particles"][0, directions]
        soft["particles"][1:, momenta] *= np.float32(1e-3)
        nothing = {**one, "particles": one["particles"][:0]}
        return {
            "equal particles": [equal],
            "collinear particles": [along],
            "soft particles": [soft],
            "no particles": [nothing],
        }

    def perturbation(self, name: str) -> float | np.ndarray:
        """Leave the columns `unperturbed` as they are."""
        if name != "particles":
            return 1.0
        return np.array([float(column not in self.unperturbed) for column in self.card.particle_branches])

    def indices(self, *names: str) -> list[int]:
        """Return the indices of columns among those of particles; of those that the card needs."""
        return [self.card.particle_branches.index(name) for name in names if name in self.card.particle_branches]

    def reordered(self, event: Arrays, rng: np.random.Generator) -> Arrays:
        """Return the jet with its particles in another order; all are within what is taken of a jet."""
        return {**event, "particles": event["particles"][rng.permutation(len(event["particles"]))]}

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Join jets to inputs as long as the longest: prepared by the card, or raw columns padded with 0."""
        if layout == RAW:
            return padded(events)
        inputs = prepare(self.card, self.columns_of(events), select=False, trim=True, rounded=True).inputs
        return {name: inputs[name] for name in self.inputs}

    def read_events(
        self, paths: Sequence[Path], hyperparameters: Mapping[str, Any], limit: int, **options: Any
    ) -> EventSet:
        """Read JetClass files: jets that the data card selects, each as long as the contract allows at most.

        Jets that are not sound are left out, as `modelferry.families.jets.jetclass` says.
        """
        from modelferry.families.jets.jetclass import CHUNK, read_chunks

        card = self.card
        longest = min(LONGEST, *(card.inputs[name].length or LONGEST for name in self.inputs))
        sets: list[EventSet] = []
        for index, path in enumerate(paths):
            share = math.ceil((limit - sum(map(len, sets))) / (len(paths) - index))
            chunks = read_chunks(path, card.branches, card.label_branches, chunk=min(CHUNK, max(share, 1)))
            taken: list[EventSet] = []
            while (wanted := share - sum(map(len, taken))) > 0 and (jets := next(chunks, None)):
                prepared = prepare(card, jets.columns)
                short = prepared.particles <= longest
                events = self.events_of(jets.take(np.flatnonzero(prepared.kept)[short][:wanted]).columns)
                labels = prepared.labels[short][:wanted]
                taken.append(EventSet(events, labels, np.ones(len(events)), str(path)))
            sets += taken
        whole = join(sets)
        if paths and not len(whole):
            raise EventFileError(f"no jet of {', '.join(map(str, paths))} is selected", "look at the card's selection")
        return whole

    def count_jets(self, path: Path) -> int:
        """Return how many jets are in a JetClass file."""
        from modelferry.families.jets.jetclass import count_jets

        return count_jets(path)

    def read_jets(self, path: Path, card: Card, chunk: int) -> Iterator[JetChunk]:
        """Yield the jets of a JetClass file as `card` prepares them."""
        from modelferry.families.jets.jetclass import prepared_chunks

        return prepared_chunks(path, card, chunk)

    def broken_inputs(self, layout: str | None = None) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        """Return mistakes in preparing inputs: features exchanged, padding taken for particles."""
        return dict(RAW_MISTAKES if layout == RAW else PREPARED_MISTAKES)
