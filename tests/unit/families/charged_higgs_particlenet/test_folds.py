import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.core.errors import EventFileError
from modelferry.families.charged_higgs_particlenet.folds import fold_of, training_folds

EXAMPLES = [(20.716, 5, 3), (63.27, 3, 2), (0.4, 2, 4), (150.0, 4, 4), (149.99, 4, 2), (37.2, 2, 4)]


def mt19937_fold(met_pt: float, n_jets: int) -> int:
    """The twister written out, as in mt19937ar.c of its authors: init_genrand and genrand_int32."""
    state = [int(met_pt) + 1]
    for i in range(1, 624):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + i) & 0xFFFFFFFF)
    for i in range(n_jets):  # fewer than 227 draws: the first part of the generation is enough
        y = (state[i] & 0x80000000) | (state[i + 1] & 0x7FFFFFFF)
        y = state[i + 397] ^ (y >> 1) ^ (0x9908B0DF if y & 1 else 0)
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C5680
        y ^= (y << 15) & 0xEFC60000
        y ^= y >> 18
    return int(y * 2.3283064365386963e-10 * 5)


def test_folds_equal_the_computed_examples() -> None:
    met_pt, n_jets, expected = map(np.array, zip(*EXAMPLES, strict=True))
    assert fold_of(met_pt, n_jets).tolist() == expected.tolist()


@given(st.lists(st.tuples(st.floats(0, 5000), st.integers(1, 40)), min_size=1, max_size=10))
def test_folds_equal_the_mersenne_twister_written_out(events: list[tuple[float, int]]) -> None:
    met_pt, n_jets = map(np.array, zip(*events, strict=True))
    assert fold_of(met_pt, n_jets).tolist() == [mt19937_fold(*event) for event in events]


def test_event_without_jets_is_refused_by_its_number() -> None:
    with pytest.raises(EventFileError, match="event 1 has no jets"):
        fold_of(np.array([10.0, 20.0]), np.array([2, 0]))


@pytest.mark.parametrize("test_fold", range(5))
def test_training_validation_and_test_folds_are_all_five_once(test_fold: int) -> None:
    training, validation = training_folds(test_fold)
    assert sorted([*training, validation, test_fold]) == [0, 1, 2, 3, 4]


def test_fold_4_is_trained_like_the_single_training_configuration() -> None:
    assert training_folds(4) == ((0, 1, 2), 3)
