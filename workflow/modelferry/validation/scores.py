"""Class scores of outputs: what a decision is taken on, and AUCs are computed from."""

from __future__ import annotations

import numpy as np

from modelferry.contract import PROBABILITY, Contract
from modelferry.validation.compare import softmax


def class_scores(outputs: np.ndarray, contract: Contract) -> np.ndarray:
    """Return scores (events, classes) that add up to 1, in float64.

    The first output of a contract is logits of its classes, unless its unit is `PROBABILITY`: then it is that of the
    positive class, which is the second of two.
    """
    if contract.outputs[0].unit != PROBABILITY:
        return softmax(outputs)
    positive = outputs.astype(np.float64)
    return np.concatenate([1 - positive, positive], axis=1)
