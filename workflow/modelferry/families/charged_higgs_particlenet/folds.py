"""Cross-validation folds of the charged-Higgs analysis, drawn event by event from what the event holds."""

from __future__ import annotations

import numpy as np

from modelferry.core.errors import EventFileError

FOLDS = 5
TRANDOM3_SCALE = 2.3283064365386963e-10
"""ROOT's TRandom3 turns a 32-bit draw into a uniform number by this factor, 2⁻³²."""


def fold_of(met_pt: np.ndarray, n_jets: np.ndarray) -> np.ndarray:
    """Return the fold, 0 to 4, of each event.

    A TRandom3 seeded with ``int(met_pt) + 1`` draws an integer below five as often as there are jets; the
    last draw counts. TRandom3 is MT19937 with the classic `init_genrand`, which is NumPy's legacy seeding.

    Parameters
    ----------
    met_pt
        Missing transverse momentum in GeV, shape (N,).
    n_jets
        Number of jets, shape (N,), at least one each.

    Returns
    -------
    np.ndarray
        Shape (N,), int64.

    Raises
    ------
    EventFileError
        If an event has no jets: the analysis gives it fold −999.
    """
    seeds = np.atleast_1d(met_pt).astype(np.int64) + 1
    draws = np.atleast_1d(n_jets).astype(np.int64)
    if np.any(draws < 1):
        raise EventFileError(f"event {int(np.argmax(draws < 1))} has no jets", "folds are for events with two or more")
    folds = np.empty(len(seeds), np.int64)
    for seed in np.unique(seeds):
        mine = seeds == seed
        folds[mine] = _integers(int(seed), int(draws[mine].max()))[draws[mine] - 1]
    return folds


def training_folds(test_fold: int) -> tuple[tuple[int, int, int], int]:
    """Return the three folds to train on, and the one to validate with, if tested on `test_fold`."""
    first, second, third, validation = ((test_fold + step) % FOLDS for step in range(1, FOLDS))
    return (first, second, third), validation


def _integers(seed: int, number: int) -> np.ndarray:
    """Return the first `number` results of ``TRandom3(seed).Integer(5)``; Rndm() skips zeros."""
    generator = np.random.RandomState(seed)
    drawn = np.empty(0, np.uint32)
    while len(drawn) < number:
        more = generator.randint(0, 2**32, size=number - len(drawn), dtype=np.uint32)
        drawn = np.concatenate([drawn, more[more != 0]])
    return np.floor(drawn * TRANDOM3_SCALE * FOLDS).astype(np.int64)
