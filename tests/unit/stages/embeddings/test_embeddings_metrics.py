"""What is measured on embeddings, on embeddings of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelferry.stages.embeddings import metrics
from modelferry.stages.embeddings.metrics import Probe

RNG = np.random.default_rng(5)
LABELS = np.repeat([0, 1, 2], 60)
APART = np.eye(3)[LABELS] * 4 + RNG.normal(size=(180, 3))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.booleans())
def test_auc_counts_pairs_in_the_right_order(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, 40).astype(float) if ties else rng.normal(size=40)
    signal = np.arange(40) < rng.integers(5, 35)
    difference = scores[signal][:, None] - scores[~signal][None]
    expected = (difference > 0).mean() + (difference == 0).mean() / 2
    curve = metrics.roc("x", scores, signal)
    assert curve.auc == pytest.approx(expected)
    assert curve.jets == (signal.sum(), (~signal).sum())


def test_roc_has_the_efficiency_of_the_background_at_that_of_the_signal() -> None:
    scores = np.concatenate([np.linspace(0, 1, 1001), np.linspace(-0.5, 0.5, 1001)])
    curve = metrics.roc("x", scores, np.arange(2002) < 1001)
    at = dict(zip(curve.signal, curve.background, strict=True))
    assert at[0.5] == pytest.approx(0, abs=2e-3)
    assert at[0.7] == pytest.approx(0.2, abs=2e-3)
    assert at[1.0] == pytest.approx(0.5, abs=2e-3)


def test_discriminant_is_the_share_of_the_two_classes() -> None:
    scores = np.array([[0.2, 0.6, 0.2], [0.0, 0.0, 1.0]])
    assert metrics.discriminant(scores, 1, 0).tolist() == [pytest.approx(0.75), 0.5]


def test_confusion_has_the_true_class_in_rows() -> None:
    scores = np.eye(3)[[0, 0, 2, 1]]
    assert metrics.confusion(scores, np.array([0, 1, 1, 1])).tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_pca_finds_the_direction_of_the_variance() -> None:
    line = RNG.normal(size=300)
    found = metrics.pca(np.stack([line, -line, RNG.normal(size=300)], axis=1))
    assert found.variance[0] == pytest.approx(2 / 3, abs=0.05)
    assert abs(np.corrcoef(found.x, line)[0, 1]) > 0.99


def test_tsne_keeps_clusters_apart_and_follows_from_its_seed() -> None:
    first, again = (metrics.tsne(APART, 3) for _ in range(2))
    assert first == again
    places = np.stack([first.x, first.y], axis=1)
    centres = np.stack([places[label == LABELS].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == LABELS).mean() > 0.9


def test_probe_reads_off_what_is_there_and_not_what_is_not() -> None:
    half = np.arange(180) % 2 == 0
    assert Probe(APART[half], LABELS[half]).auc(APART[~half], LABELS[~half], 0) > 0.97
    shuffled = np.random.default_rng(1).permutation(LABELS)
    assert 0.3 < Probe(APART[half], shuffled[half]).auc(APART[~half], shuffled[~half], 0) < 0.7


def test_mean_auc_is_of_each_class_against_the_background() -> None:
    scores = np.array([[0.9, 0.1, 0.0], [0.6, 0.2, 0.2], [0.1, 0.9, 0.0], [0.5, 0.0, 0.5], [0.9, 0.0, 0.05]])
    labels = np.array([0, 0, 1, 2, 2])
    # class 1: 1; class 2: 0.5 / 1.0 above both, 0.05 / 0.95 above 0 and below 0.2 / 0.8: 3 of 4 pairs
    assert metrics.mean_auc(scores, labels, [0, 1, 2], 0) == pytest.approx((1 + 0.75) / 2)


@pytest.mark.parametrize(("jets", "expected"), [(1237, (50, 150, 450, 1237)), (60, (50, 60)), (40, (40,))])
def test_sizes_go_to_all_jets(jets: int, expected: tuple[int, ...]) -> None:
    assert metrics.sizes(jets, 10) == expected


def test_cka_is_blind_to_rotation_scale_and_shift_and_sees_another_space() -> None:
    rotation = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    assert metrics.linear_cka(APART, 3 * APART @ rotation + 7) == pytest.approx(1)
    assert metrics.linear_cka(APART, RNG.normal(size=(180, 3))) < 0.1
    assert metrics.linear_cka(APART, np.zeros((180, 2))) == 0
    other = RNG.normal(size=(180, 5))
    assert metrics.linear_cka(APART, other) == pytest.approx(metrics.linear_cka(other, APART))


def test_mapped_finds_a_linear_map() -> None:
    matrix = RNG.normal(size=(3, 4))
    found = metrics.mapped(APART[:120], APART[:120] @ matrix + 1, APART[120:])
    np.testing.assert_allclose(found, APART[120:] @ matrix + 1, atol=0.2)
