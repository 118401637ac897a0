"""Mistakes in preparing the inputs of a network: declared by its family, or features that are swapped."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, islice

import numpy as np

from modelferry.core.contract import Arrays, Contract
from modelferry.families import Family

Corruption = Callable[[Arrays, Contract], Arrays]

SWAPPED = "two input features swapped"
CANDIDATES = 8
"""At most this many pairs of features are tried: a network may ignore one."""


def corruptions_of(family: Family, contract: Contract) -> dict[str, list[Corruption]]:
    """Return mistakes in preparing the inputs, each with candidates of which one must be seen.

    Those that the family declares; if it declares none, two features of an input are swapped.
    """
    declared = family.broken_inputs(contract.layout)
    if declared:
        return {name: [corrupt] for name, corrupt in declared.items()}
    for tensor in contract.inputs:
        if len(tensor.features) > 1:
            pairs = islice(combinations(range(len(tensor.features)), 2), CANDIDATES)
            return {SWAPPED: [_swap(tensor.name, *pair) for pair in pairs]}
    return {}


def _swap(name: str, first: int, second: int) -> Corruption:
    def corrupt(inputs: Arrays, contract: Contract) -> Arrays:
        order = np.arange(inputs[name].shape[-1])
        order[[first, second]] = second, first
        return {**inputs, name: np.ascontiguousarray(inputs[name][..., order])}

    return corrupt
