import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelferry.families.charged_higgs_particlenet.edges import delta_r, delta_r_edges, eta_phi, wrap
from sheets import expected_figures

momenta = st.integers(1, 9).flatmap(
    lambda n: arrays(np.float32, (n, 3), elements=st.floats(-200, 200, width=32, allow_subnormal=False))
)


def particles(momentum: np.ndarray) -> np.ndarray:
    x = np.zeros((len(momentum), 9), np.float32)
    x[:, 1:4] = momentum
    return x


def slow_delta_r(a: np.ndarray, b: np.ndarray) -> float:
    def eta(p: np.ndarray) -> float:
        px, py, pz = map(float, p[1:4])
        return math.asinh(min(1e308, abs(pz) / max(math.hypot(px, py), 2.3e-308))) * math.copysign(1, pz)

    difference = abs(math.atan2(float(a[2]), float(a[1])) - math.atan2(float(b[2]), float(b[1])))
    return math.hypot(eta(a) - eta(b), min(difference, 2 * math.pi - difference))


@given(momenta)
def test_each_particle_gets_its_nearest_in_ascending_order(momentum: np.ndarray) -> None:
    x = particles(momentum)
    n, k = len(x), min(4, len(x) - 1)
    edges = delta_r_edges(x)
    assert edges.shape == (2, n * k)
    assert edges.dtype == np.int64
    assert edges[0].tolist() == [i for i in range(n) for _ in range(k)]
    for i in range(n):
        others = sorted(slow_delta_r(x[i], x[j]) for j in range(n) if j != i)
        mine = edges[1, edges[0] == i].tolist()
        assert i not in mine
        assert len(set(mine)) == k
        found = [slow_delta_r(x[i], x[j]) for j in mine]
        assert found == pytest.approx(others[:k], rel=1e-9, abs=1e-9)


def test_equal_distances_keep_the_order_of_the_particles() -> None:
    edges = delta_r_edges(particles(np.ones((6, 3), np.float32)))
    assert edges[1].tolist() == [1, 2, 3, 4, 0, 2, 3, 4, 0, 1, 3, 4, 0, 1, 2, 4, 0, 1, 2, 3, 0, 1, 2, 3]


def test_one_particle_has_no_edges_and_no_particles_have_none() -> None:
    for n in (0, 1):
        assert delta_r_edges(np.ones((n, 9), np.float32)).shape == (2, 0)


def test_neighbours_are_found_across_the_seam_in_phi() -> None:
    angles = np.array([3.1, -3.1, 2.5, -2.5])
    x = particles(np.stack([np.cos(angles), np.sin(angles), np.zeros(4)], axis=1))
    assert delta_r_edges(x, k=1)[1].tolist() == [1, 0, 0, 1]


def test_particles_along_the_beam_or_at_rest_have_finite_coordinates() -> None:
    x = particles(np.array([[0, 0, 50], [0, 0, -50], [0, 0, 0], [3, 4, 0]]))
    eta, _ = eta_phi(x)
    assert np.isfinite(delta_r(x)).all()
    assert eta[0] > 100
    assert eta[1] < -100
    assert eta[2:].tolist() == [0, 0]


@given(st.floats(-4 * math.pi, 4 * math.pi))
def test_wrapped_angles_are_the_same_angle_within_minus_pi_to_pi(angle: float) -> None:
    wrapped = float(wrap(np.float64(angle)))
    assert -math.pi < wrapped <= math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


def test_edges_of_the_upstream_events_are_reproduced_exactly() -> None:
    events = expected_figures("charged_higgs_particlenet")["events"]
    assert len(events) == 9
    for event in events:
        expected = np.array(event["edge_index"], np.int64).reshape(2, -1)
        np.testing.assert_array_equal(delta_r_edges(np.array(event["x"], np.float32)), expected)
