"""Families: how a checkpoint becomes a network. A folder each; this is the protocol that they follow."""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelferry.checkpoints.reader import facts_beside, load_state_dict
from modelferry.checkpoints.shapes import Shapes, read_shapes
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.core.events import EventSet, JetChunk
from modelferry.core.import_path import imported, module_of
from modelferry.families.transforms import NONE

if TYPE_CHECKING:
    import numpy as np
    import torch

    StateDict = Mapping[str, torch.Tensor]


class Family(ABC):
    """A network architecture with its weights, its input contract, its sample inputs and its event reader.

    An *event* is what one output row belongs to: named arrays without a batch axis. `collate` joins events to the
    inputs of one call. A family imports torch inside its methods only: Snakemake reads it at every start.
    """

    name: ClassVar[str]
    layouts: ClassVar[tuple[str, ...]]
    """Input layouts of the deployable; the first is the default."""
    reference_layout: ClassVar[str]
    """Input layout of the reference."""
    packages: ClassVar[tuple[str, ...]] = ("torch",)
    """Distributions whose version matters for the reference."""
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    """All hyperparameters with their defaults."""
    sizes: tuple[str, ...] = ()
    """The contract's dimensions that vary from event to event, such as the numbers of its tracks and of its towers."""
    batch: str = "events"
    """The contract's dimension that counts the events of a call."""
    formats: ClassVar[tuple[str, ...]] = ()
    """Formats that a checkpoint given by its path is exported to, unless others are asked for."""
    graph_neighbours: ClassVar[int] = 0
    """k of the network's nearest-neighbour graphs, 0 if it has none: sizes around it are probed."""

    @property
    def sampled(self) -> tuple[str, ...]:
        """The contract's dimensions that `sample` is given a size of; all others follow from them."""
        return (self.batch, *self.sizes)

    @property
    def batched_layout(self) -> str:
        """The layout of which each input has the events of a call as its first axis; by default the first layout."""
        return self.layouts[0]

    def call_sizes(self, contract: Contract, batch: int | None = None, size: int | None = None) -> dict[str, int]:
        """Return the size of each of the `sampled` dimensions in a call: the typical one, but for what is given.

        Parameters
        ----------
        batch
            The number of events.
        size
            The first of `sizes`; the others then follow in proportion to the typical sizes, within the contract. It
            counts for nothing where events have no varying size.
        """
        known = [contract.dimension(name) for name in self.sampled]
        sizes = {dimension.name: dimension.typical for dimension in known}
        if size is not None and self.sizes:
            for dimension in known[2:]:
                scaled = round(dimension.typical * size / sizes[self.sizes[0]])
                sizes[dimension.name] = min(max(scaled, dimension.minimum), dimension.maximum)
            sizes[self.sizes[0]] = size
        return sizes if batch is None else {**sizes, self.batch: batch}

    def configured(self, hyperparameters: Mapping[str, Any]) -> Family:
        """Return the family with the facts above as these hyperparameters make them; by default nothing changes."""
        return self

    def modules(self, hyperparameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the modules beside the family's own whose code decides what the network computes."""
        return ()

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Return the hyperparameters that the shapes of a checkpoint tell; nothing for foreign shapes."""
        return {}

    def stated(self, path: Path) -> dict[str, Any]:
        """Return the hyperparameters that a checkpoint states beside its tensors; Snakemake asks: import no torch."""
        return {}

    def read_shapes(self, path: Path) -> Shapes:
        """Return the shapes of a checkpoint's tensors; Snakemake asks: import no torch."""
        return read_shapes(path)

    def read_tensors(self, path: Path | str) -> StateDict:
        """Return a checkpoint's tensors under the file's own names."""
        return load_state_dict(path)

    def read_facts(self, path: Path | str) -> Mapping[str, Any]:
        """Return the plain values that stand in a checkpoint beside its tensors, such as an accuracy."""
        return facts_beside(path)

    def load_weights(self, path: Path | str, hyperparameters: Mapping[str, Any]) -> StateDict:
        """Return the tensors of a checkpoint under the reference's names, or those with prefixes; `fit` checks them."""
        return self.own_names(self.read_tensors(path), str(path))

    def own_names(self, state_dict: StateDict, source: str) -> StateDict:
        """Return a checkpoint's tensors under the reference's names, where trainers name them in several ways.

        `source` is what an error names, such as the path. Prefixes that wrappers add need no removal.
        """
        return state_dict

    @abstractmethod
    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return what the deployable takes and gives in `layout`."""

    @abstractmethod
    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the network as it was trained, with the checkpoint's keys."""

    def transforms(self, layout: str) -> tuple[str, ...]:
        """Return the exact rewrites that the deployable of a layout knows: names in `families.transforms`."""
        return ()

    def approximations(self, layout: str) -> tuple[str, ...]:
        """Return the rewrites to another function that a layout knows: names of `modelferry.families.transforms`."""
        return ()

    @abstractmethod
    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> torch.nn.Module:
        """Return the network as it is exported, rewritten by `transforms`: pure PyTorch operators, dynamic sizes.

        Approximations that were asked for are among `transforms`. Without any, the keys of the deployable in the
        reference's layout are the checkpoint's.
        """

    def convert(
        self, state_dict: StateDict, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> StateDict:
        """Return the weights of such a deployable for a checkpoint's: as they are, or computed in float64."""
        return state_dict

    def double(self, reference: torch.nn.Module) -> torch.nn.Module:
        """Return the reference in float64; a family whose definition includes float32 arithmetic overrides this."""
        return reference.double()

    def perturbation(self, name: str) -> float | np.ndarray:
        """Return the share of the perturbation that finds near-ties which is applied to an event's array; 1 is all.

        It is 0 for numbers whose float32 rounding is part of the network's definition.
        """
        return 1.0

    @abstractmethod
    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return ``dims[batch]`` synthetic events of the other sizes in `dims`, also of one beyond the contract's."""

    def special(self, seed: int) -> dict[str, list[Arrays]]:
        """Return events within the contract that are easy to get wrong, by what is special about them."""
        return {}

    def documented(self, seed: int) -> dict[str, list[Arrays]]:
        """Return events outside the contract whose outputs are documented, by name; they never come alone."""
        return {}

    def reordered(self, event: Arrays, rng: np.random.Generator) -> Arrays | None:
        """Return the event with its particles in another order, where the order must not matter; else None."""
        return None

    @abstractmethod
    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Return the inputs of one call on `events`."""

    def inputs_of(self, events: Sequence[Arrays], contract: Contract) -> Arrays:
        """Return the inputs of one call on `events` of an artifact with this contract, in the types that it takes."""
        return contract.cast(self.collate(events, contract.layout))

    def check_event_options(self, options: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for options that `read_events` does not name after its first three parameters.

        A family whose options have values to check, or names that the signature does not tell, overrides this.
        """
        parameters = list(inspect.signature(self.read_events).parameters.values())[3:]
        known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        for name in options:
            if name not in known:
                remedy = did_you_mean(name, known) if known else "remove it"
                raise ConfigError(f"family {self.name} reads events without an option '{name}'", remedy)

    def read_events(
        self, paths: Sequence[Path], hyperparameters: Mapping[str, Any], limit: int, **options: Any
    ) -> EventSet:
        """Return at most `limit` events from files; raise `EventFileError` if a file is not what it should be.

        `options` are those of the config, `events: {options: …}`; a reader that has some names them, with defaults.
        """
        raise ConfigError(f"family {self.name} reads no event files", "remove `events:` from the campaign")

    def card_of(self, hyperparameters: Mapping[str, Any]) -> Any:
        """Return the data card that says how the inputs of a network are made of jets; others have no embeddings."""
        raise ConfigError(f"family {self.name} takes no jets", "remove `embed` from the campaign")

    def count_jets(self, path: Path) -> int:
        """Return how many jets are in a file; raise `EventFileError` if it is not what it should be."""
        raise ConfigError(f"family {self.name} takes no jets", "remove `embed` from the campaign")

    def read_jets(self, path: Path, card: Any, chunk: int) -> Iterator[JetChunk]:
        """Yield the jets of a file as `card` prepares them, in chunks of at most so many."""
        raise ConfigError(f"family {self.name} takes no jets", "remove `embed` from the campaign")

    def broken_inputs(self, layout: str | None = None) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        """Return mistakes in preparing the inputs of a layout that the validator must see, by name.

        If there are none, the validator swaps two features of an input, where the contract names features.
        """
        return {}

    def broken_networks(self) -> dict[str, Callable[[torch.nn.Module], torch.nn.Module]]:
        """Return mistakes in a network that the validator must see, by name.

        Each takes the reference with its weights, in evaluation mode, which it may change, and returns the broken one.
        To leave evaluation mode is a mistake that the validator adds, where there are layers for which it matters.
        """
        return {}

    def rewritten(self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str]) -> torch.nn.Module:
        """Return the deployable; a family that knows no transforms need not know that there are any."""
        return self.deployable(hyperparameters, layout, *([transforms] if transforms else []))

    def rewritten_weights(
        self, state_dict: StateDict, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str]
    ) -> StateDict:
        """Return the weights of `rewritten` for a checkpoint's."""
        return self.convert(state_dict, hyperparameters, layout, *([transforms] if transforms else []))

    def resolve(self, given: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters: as given, else as the checkpoint tells, else the default.

        Raises
        ------
        ConfigError
            For an unknown hyperparameter, or one that contradicts the checkpoint.
        """
        for key, value in given.items():
            if key not in self.hyperparameters:
                known = did_you_mean(key, self.hyperparameters)
                raise ConfigError(f"family {self.name} has no hyperparameter '{key}'", known)
            if key in inferred and inferred[key] != value:
                raise ConfigError(f"{key} is {value} in the config but {inferred[key]} in the checkpoint", "drop it")
        return {**self.hyperparameters, **inferred, **given}

    def layout(self, wanted: str | None) -> str:
        """Return the layout to export; raise `ConfigError` if there is none of that name."""
        if wanted is None:
            return self.layouts[0]
        if wanted not in self.layouts:
            raise ConfigError(f"family {self.name} has no layout '{wanted}'", did_you_mean(wanted, self.layouts))
        return wanted


@cache
def family_names() -> tuple[str, ...]:
    """Return the names of the families that come with modelferry: the folders here with a module `family`."""
    return tuple(sorted(file.parent.name for file in Path(__file__).parent.glob("*/family.py")))


def family_module(name: str) -> str:
    """Return the module that defines a family; raise `ConfigError` for an unknown name."""
    return module_of(name, "family", family_names(), f"{__name__}.{name}.family")


@cache
def load_family(name: str) -> Family:
    """Return the family called `name`, or the instance of the user's ``package.module:Class``."""
    module_name = family_module(name)
    if ":" not in name:
        known: Family = importlib.import_module(module_name).FAMILY
        return known
    family = imported(name, "family")()
    if not isinstance(family, Family):
        raise ConfigError(f"family '{name}' is not a modelferry.families.Family", "derive it from that class")
    for attribute, given in (("size", getattr(family, "size", ())), ("sizes", family.sizes)):
        if isinstance(given, str):
            raise ConfigError(f"family '{name}' sets `{attribute} = {given!r}`", f'write `sizes = ("{given}",)`')
    return family
