"""Metrics of embeddings: how well classes separate, what a linear classifier learns from them, what transfers.

Pure functions on arrays; scikit-learn does the arithmetic.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.manifold import TSNE
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.preprocessing import StandardScaler

from modelferry.records.embeddings import Projection, RocCurve

EFFICIENCIES = np.linspace(0.02, 1, 50)
REPEATED = 3
"""Number of samples of each size that probes learn from."""
ITERATIONS = 200
PERPLEXITY = 30


def roc(name: str, scores: np.ndarray, is_signal: np.ndarray) -> RocCurve:
    """Return the ROC curve of a discriminant, (jets,), at fixed signal efficiencies."""
    background, signal, _ = roc_curve(is_signal, scores)
    after = np.searchsorted(signal, EFFICIENCIES).clip(1)  # where many of the background pass at once, the fewest count
    share = (EFFICIENCIES - signal[after - 1]) / (signal[after] - signal[after - 1])
    at = background[after - 1] + share * (background[after] - background[after - 1])
    return RocCurve(
        name=name,
        signal=rounded(EFFICIENCIES),
        background=rounded(at),
        auc=float(roc_auc_score(is_signal, scores)),
        jets=(int(is_signal.sum()), int((~is_signal).sum())),
    )


def discriminant(scores: np.ndarray, of: int, against: int) -> np.ndarray:
    """Return p_c / (p_c + p_b) of scores (jets, classes), 0.5 where both are 0."""
    both = scores[:, of] + scores[:, against]
    return np.divide(scores[:, of], both, out=np.full(len(scores), 0.5), where=both > 0)


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return counts of jets by true class (row) and class of the best score (column)."""
    classes = scores.shape[1]
    return np.bincount(labels * classes + scores.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def pca(embeddings: np.ndarray) -> Projection:
    """Return the first two principal components of standardised embeddings."""
    pca = PCA(n_components=2, svd_solver="full").fit(scaled := StandardScaler().fit_transform(embeddings))
    x, y = pca.transform(scaled).T
    return Projection(method="PCA", x=rounded(x), y=rounded(y), variance=rounded(pca.explained_variance_ratio_))


def tsne(embeddings: np.ndarray, seed: int) -> Projection:
    """Return t-SNE coordinates of standardised embeddings, the same for the same seed."""
    scaled = StandardScaler().fit_transform(embeddings)
    perplexity = min(PERPLEXITY, (len(scaled) - 1) / 3)
    points = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(scaled)
    return Projection(method="t-SNE", x=rounded(points[:, 0]), y=rounded(points[:, 1]))


class Probe:
    """A linear classifier on standardised features."""

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        self._scaler = StandardScaler().fit(features)
        self._classifier = LogisticRegression(max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # an AUC of a nearly fitted probe is good enough
            self._classifier.fit(self._scaler.transform(features), labels)

    def auc(self, features: np.ndarray, labels: np.ndarray, against: int) -> float:
        """Return the mean over all classes of the AUC of p_c / (p_c + p_b) against class `against`."""
        scores = self._classifier.predict_proba(self._scaler.transform(features))
        known = list(self._classifier.classes_)
        return mean_auc(scores, labels, known, known.index(against))


def mean_auc(scores: np.ndarray, labels: np.ndarray, classes: Sequence[int], against: int) -> float:
    """Return the mean over classes of the AUC of their discriminant; `against` is an index of `classes`."""
    aucs = []
    for index, label in enumerate(classes):
        chosen = (labels == label) | (labels == classes[against])
        if len(np.unique(labels[chosen])) == 2:
            d = discriminant(scores[chosen], index, against)
            aucs.append(roc_auc_score(labels[chosen] == label, d))
    return float(np.mean(aucs))


def sizes(jets: int, classes: int) -> tuple[int, ...]:
    """Return numbers of jets to learn from: from five a class to all, each about three times the one before."""
    steps = [5 * classes]
    while steps[-1] * 6 < jets:
        steps.append(steps[-1] * 3)
    return (*[step for step in steps if step < jets], jets)


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Return linear centred kernel alignment of embeddings of the same jets, 0 to 1 (Kornblith et al., 1905.00414)."""
    a, b = (np.asarray(x, np.float64) - x.mean(axis=0, dtype=np.float64) for x in (first, second))
    norm = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(b.T @ a) ** 2 / norm) if norm > 0 else 0.0


def mapped(source: np.ndarray, target: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return `others` in the space of `target`, by the linear map that takes `source` to it, fitted jet by jet."""
    scaler = StandardScaler().fit(source)
    predicted: np.ndarray = Ridge(1.0).fit(scaler.transform(source), target).predict(scaler.transform(others))
    return predicted


def rounded(values: np.ndarray) -> tuple[float, ...]:
    """Return numbers with five significant digits: they are for figures."""
    return tuple(float(f"{value:.5g}") for value in values)
