"""Broken networks: what the network as trained gives with one mistake in it, recorded once for all artifacts.

The controls of each validation judge these outputs: a validator that passes one is broken itself. And an artifact that
falls short is compared with them: if it gives the same, its mistake has a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from modelferry.core.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.families.probes import MIXED, REAL, Prepare, Probe, evaluate
from modelferry.stages.validation.input_corruptions import Spoil, spoils
from modelferry.stages.validation.recording import Broken, ordinary

if TYPE_CHECKING:
    from modelferry.families import StateDict

PROBES = 8
"""So many calls with ordinary events show what is broken."""
TRAINING = "evaluation mode forgotten"
SEED = 3
"""Of dropout in training mode."""
DEPENDS_ON_MODE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


def record_broken(
    family: Family, hyperparameters: Mapping[str, Any], contract: Contract, weights: StateDict, probes: Sequence[Probe]
) -> tuple[Broken, ...]:
    """Return the outputs of each broken network on some calls with several events.

    Mistakes in preparing inputs count as well; where a family declares candidates, the first stands for all.
    """
    places = _telling(probes, contract.dimension(family.batch).typical)
    ends = np.cumsum([len(probe.events) for probe in probes])
    events = np.concatenate([np.empty(0, int), *(np.arange(ends[i] - len(probes[i].events), ends[i]) for i in places)])
    chosen = [probes[place] for place in places]

    def trained() -> nn.Module:
        network = family.reference(hyperparameters)
        network.load_state_dict(dict(weights))
        return network.eval()

    def outputs(network: nn.Module, prepare: Prepare) -> Arrays:
        torch.manual_seed(SEED)
        return evaluate(network, family, contract, chosen, prepare=prepare)

    return tuple(
        Broken(name, events, outputs(spoil(trained()), prepare))
        for name, spoil, prepare in _mistakes(family, contract, trained())
        if chosen
    )


def _telling(probes: Sequence[Probe], typical: int) -> list[int]:
    """Return the places of calls with several events: ordinary ones of typical size, then the fullest of the others."""

    def order(place: int) -> tuple[bool, int]:
        events = probes[place].events
        whole = probes[place].label in (MIXED, REAL) and len(events) == typical
        return (not whole, 0 if whole else -sum(array.size for event in events for array in event.values()))

    several = [place for place in ordinary(probes) if 1 < len(probes[place].events) <= typical]
    return sorted(sorted(several, key=order)[:PROBES])


def depends_on_mode(network: nn.Module) -> bool:
    """Return whether the network has layers that do something else in training."""
    return any(isinstance(module, DEPENDS_ON_MODE) for module in network.modules())


def _mistakes(
    family: Family, contract: Contract, network: nn.Module
) -> Iterator[tuple[str, Callable[[nn.Module], nn.Module], Prepare]]:
    networks = family.broken_networks()
    for name, spoil in networks.items():
        yield name, spoil, _as_is
    if depends_on_mode(network):
        yield TRAINING, nn.Module.train, _as_is
    for name, candidates in spoils(family, contract).items():
        if name in networks:
            continue
        yield name, _as_is, partial(_spoilt, candidates[0], contract)


def _spoilt(spoil: Spoil, contract: Contract, inputs: Arrays) -> Arrays:
    return spoil(inputs, contract)


def _as_is(value: Any) -> Any:
    return value
