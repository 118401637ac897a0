"""Faulty networks: what the network as trained gives with one mistake in it, recorded once for all artifacts.

The controls of each validation judge these outputs: a validator that passes one is broken itself. And an artifact that
fails is compared with them: if it gives the same outputs, its mistake is named.
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
from modelferry.stages.validation.changed_weights import CANDIDATES, WEIGHT, with_changed_weight
from modelferry.stages.validation.input_corruptions import Corruption, corruptions_of
from modelferry.stages.validation.recording import FaultyOutputs, ordinary

if TYPE_CHECKING:
    from modelferry.families import StateDict

PROBES = 8
"""This many calls with ordinary events show a mistake."""
TRAINING = "evaluation mode forgotten"
ENOUGH = 0.01
"""Share of the largest output by which a changed weight should change one."""
SEED = 3
"""Of dropout in training mode."""
DEPENDS_ON_MODE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


def record_faulty_networks(
    family: Family,
    hyperparameters: Mapping[str, Any],
    contract: Contract,
    weights: StateDict,
    probes: Sequence[Probe],
    thorough: bool = True,
) -> tuple[FaultyOutputs, ...]:
    """Return the outputs of each faulty network on some calls with several events.

    Mistakes in preparing inputs count as well; where a family declares candidates, the first stands for all. Unless
    `thorough`, there is one mistake only: a weight that is 10 % larger.
    """
    indices = _telling_calls(probes, contract.dimension(family.batch).typical)
    ends = np.cumsum([len(probe.events) for probe in probes])
    events = np.concatenate([np.empty(0, int), *(np.arange(ends[i] - len(probes[i].events), ends[i]) for i in indices)])
    chosen = [probes[index] for index in indices]

    def trained() -> nn.Module:
        network = family.reference(hyperparameters)
        network.load_state_dict(dict(weights))
        return network.eval()

    def outputs(network: nn.Module, prepare: Prepare) -> Arrays:
        torch.manual_seed(SEED)
        return evaluate(network, family, contract, chosen, prepare=prepare)

    if not thorough:
        return (FaultyOutputs(WEIGHT, events, _with_changed_weight(trained(), weights, lambda n: outputs(n, _as_is))),)
    return tuple(
        FaultyOutputs(name, events, outputs(make_faulty(trained()), prepare))
        for name, make_faulty, prepare in _mistakes(family, contract, trained())
        if chosen
    )


def _with_changed_weight(network: nn.Module, weights: StateDict, outputs: Callable[[nn.Module], Arrays]) -> Arrays:
    """Return the outputs with a weight that is 10 % larger: the first that changes any, as it should, by more than 1 %.

    One weight may belong to a unit that never fires. Where none changes as much, it is the one that changes most.
    """
    sound, most, told = outputs(network), -1.0, {}
    for rank in range(CANDIDATES):
        network.load_state_dict(with_changed_weight(weights, rank))
        found = outputs(network)
        change = max(np.abs(found[name] - value).max() / (np.abs(value).max() or 1) for name, value in sound.items())
        if change > most:
            most, told = change, found
        if change > ENOUGH:
            break
    return told


def _telling_calls(probes: Sequence[Probe], typical: int) -> list[int]:
    """Return the indices of calls with several events: ordinary ones of typical size, then the fullest others."""

    def order(index: int) -> tuple[bool, int]:
        events = probes[index].events
        whole = probes[index].label in (MIXED, REAL) and len(events) == typical
        return (not whole, 0 if whole else -sum(array.size for event in events for array in event.values()))

    several = [index for index in ordinary(probes) if 1 < len(probes[index].events) <= typical]
    return sorted(sorted(several, key=order)[:PROBES])


def depends_on_mode(network: nn.Module) -> bool:
    """Return whether the network has layers that do something else in training."""
    return any(isinstance(module, DEPENDS_ON_MODE) for module in network.modules())


def _mistakes(
    family: Family, contract: Contract, network: nn.Module
) -> Iterator[tuple[str, Callable[[nn.Module], nn.Module], Prepare]]:
    networks = family.broken_networks()
    for name, make_faulty in networks.items():
        yield name, make_faulty, _as_is
    if depends_on_mode(network):
        yield TRAINING, nn.Module.train, _as_is
    for name, candidates in corruptions_of(family, contract).items():
        if name in networks:
            continue
        yield name, _as_is, partial(_corrupted, candidates[0], contract)


def _corrupted(corrupt: Corruption, contract: Contract, inputs: Arrays) -> Arrays:
    return corrupt(inputs, contract)


def _as_is(value: Any) -> Any:
    return value
