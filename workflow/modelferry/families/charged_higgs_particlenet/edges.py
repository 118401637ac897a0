"""Edges of an event's graph as the charged-Higgs data sets store them: each particle's nearest in ΔR."""

from __future__ import annotations

import numpy as np


def delta_r_edges(x: np.ndarray, k: int = 4) -> np.ndarray:
    """Return the edges from each particle to its `k` nearest in ΔR, nearest first, without self-loops.

    Equal distances keep the order of the particles. With fewer than ``k + 1`` particles each gets all others.

    Parameters
    ----------
    x
        Node features (n, ≥4) of one event: E, Px, Py, Pz in GeV, and more.
    k
        Number of neighbours.

    Returns
    -------
    np.ndarray
        Shape (2, n · min(k, n − 1)), int64. **Row 0 is the centre, row 1 its neighbour**, as the data sets
        have it: under PyTorch Geometric's convention messages flow from the centre to its neighbours. The
        networks were trained so.
    """
    n = len(x)
    neighbours = max(0, min(k, n - 1))
    distance = delta_r(x)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    return np.stack([np.repeat(np.arange(n), neighbours), nearest.ravel()]).astype(np.int64)


def delta_r(x: np.ndarray) -> np.ndarray:
    """Return the matrix (n, n) of ΔR = sqrt(Δη² + Δφ²) between the particles of one event, in float64."""
    eta, phi = eta_phi(x)
    return np.hypot(eta[:, None] - eta, wrap(phi[:, None] - phi))


def eta_phi(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return η and φ, each (n,), from Px, Py, Pz in columns 1–3.

    η is 0 where pz is 0 (missing energy), and stays finite along the beam, where pt is 0.
    """
    px, py, pz = np.asarray(x, np.float64)[:, 1:4].T
    pt = np.maximum(np.hypot(px, py), np.finfo(np.float64).tiny)
    limit = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        eta = np.arcsinh(np.clip(pz / pt, -limit, limit))
    return eta, np.arctan2(py, px)


def wrap(phi: np.ndarray) -> np.ndarray:
    """Return angles moved into (−π, π]; those already there are returned bit for bit."""
    return phi - 2 * np.pi * np.ceil((phi - np.pi) / (2 * np.pi))
