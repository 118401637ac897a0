import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.demo import kinematics as kin

seeds = st.integers(0, 2**32 - 1)


def random_momenta(seed: int, masses: float) -> np.ndarray:
    return kin.produced(np.random.default_rng(seed), 20, masses, 80.0, 1.2)


@given(seeds, st.floats(1, 500))
def test_produced_particles_have_their_mass(seed: int, mass: float) -> None:
    assert kin.mass(random_momenta(seed, mass)) == pytest.approx(np.full(20, mass), rel=1e-6, abs=1e-4)


@given(seeds)
def test_boost_keeps_the_mass(seed: int) -> None:
    p, frame = random_momenta(seed, 5.0), random_momenta(seed + 1, 90.0)
    assert kin.mass(kin.boost(p, frame)) == pytest.approx(np.full(20, 5.0), rel=1e-3)


@given(seeds)
def test_particle_at_rest_is_boosted_to_the_frame_itself(seed: int) -> None:
    frame = random_momenta(seed, 90.0)
    at_rest = np.tile([90.0, 0, 0, 0], (20, 1))
    assert kin.boost(at_rest, frame) == pytest.approx(frame, rel=1e-6, abs=1e-6)


@given(seeds, st.floats(0, 40), st.floats(0, 40))
def test_two_body_decay_conserves_momentum_and_has_the_masses(seed: int, m1: float, m2: float) -> None:
    parent = random_momenta(seed, 91.0)
    first, second = kin.two_body(np.random.default_rng(seed), parent, m1, m2)
    assert first + second == pytest.approx(parent, rel=1e-6, abs=1e-6)
    scale = 1e-4 * parent[:, 0]
    assert np.all(np.abs(kin.mass(first) - m1) < scale)
    assert np.all(np.abs(kin.mass(second) - m2) < scale)


def test_decay_is_isotropic_in_the_rest_frame() -> None:
    parent = np.tile([91.0, 0, 0, 0], (20000, 1))
    first, _ = kin.two_body(np.random.default_rng(1), parent, 0, 0)
    direction = first[:, 1:] / 45.5
    assert direction.mean(axis=0) == pytest.approx([0, 0, 0], abs=0.02)
    assert (direction**2).mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.01)


def test_masses_that_do_not_fit_are_scaled_down() -> None:
    parent = np.tile([50.0, 0, 0, 0], (3, 1))
    first, second = kin.two_body(np.random.default_rng(1), parent, 40.0, 60.0)
    assert first + second == pytest.approx(parent)
    assert kin.mass(second) / kin.mass(first) == pytest.approx([1.5] * 3)


def test_pair_is_back_to_back_in_the_transverse_plane() -> None:
    first, second = kin.pair_produced(np.random.default_rng(1), 10, 172.5, 160.0, 90.0)
    assert (first + second)[:, 1:3] == pytest.approx(np.zeros((10, 2)), abs=1e-9)
    assert kin.mass(first) == pytest.approx(np.full(10, 172.5))
    assert kin.mass(second) == pytest.approx(np.full(10, 160.0))
