"""Relativistic kinematics of toy events; four-momenta are (E, px, py, pz) in GeV on the last axis."""

from __future__ import annotations

import numpy as np


def mass(p: np.ndarray) -> np.ndarray:
    """Return the invariant mass, shape (...); 0 where rounding made m² negative."""
    return np.sqrt(np.maximum(p[..., 0] ** 2 - np.sum(p[..., 1:] ** 2, axis=-1), 0.0))


def pt(p: np.ndarray) -> np.ndarray:
    """Return the transverse momentum in GeV."""
    return np.hypot(p[..., 1], p[..., 2])


def eta(p: np.ndarray) -> np.ndarray:
    """Return the pseudorapidity; huge, but finite, along the beam."""
    return np.arcsinh(p[..., 3] / np.maximum(pt(p), 1e-9))


def phi(p: np.ndarray) -> np.ndarray:
    """Return the azimuth in radians."""
    return np.arctan2(p[..., 2], p[..., 1])


def boost(p: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return `p` (..., 4), given in the rest frame of `frame` (..., 4), as seen where `frame` is given."""
    m = mass(frame)[..., None]
    energy, momentum = frame[..., :1], frame[..., 1:]
    along = np.sum(momentum * p[..., 1:], axis=-1, keepdims=True)
    new_energy = (energy * p[..., :1] + along) / m
    new_momentum = p[..., 1:] + momentum * (along / (m * (energy + m)) + p[..., :1] / m)
    return np.concatenate([new_energy, new_momentum], axis=-1)


def two_body(rng: np.random.Generator, parent: np.ndarray, m1: float, m2: float) -> tuple[np.ndarray, np.ndarray]:
    """Decay each `parent` (n, 4) isotropically into two particles of masses `m1` and `m2`, each (n, 4).

    Masses that do not fit into a parent are scaled down until they do.
    """
    m = mass(parent)
    fit = np.minimum(1.0, 0.999 * m / max(m1 + m2, 1e-9))
    m1_, m2_ = m1 * fit, m2 * fit
    momentum = np.sqrt((m**2 - (m1_ + m2_) ** 2) * (m**2 - (m1_ - m2_) ** 2)) / (2 * m)
    direction = isotropic(rng, len(parent)) * momentum[:, None]
    first = np.column_stack([np.hypot(momentum, m1_), direction])
    second = np.column_stack([np.hypot(momentum, m2_), -direction])
    return boost(first, parent), boost(second, parent)


def isotropic(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return `n` unit vectors (n, 3), isotropic."""
    cosine = rng.uniform(-1, 1, n)
    azimuth = rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    return np.column_stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])


def produced(rng: np.random.Generator, n: int, m: float | np.ndarray, mean_pt: float, width_eta: float) -> np.ndarray:
    """Return `n` particles (n, 4) of mass `m` with exponential pt, normal rapidity and any azimuth."""
    transverse = rng.exponential(mean_pt, n)
    rapidity = rng.normal(0, width_eta, n)
    azimuth = rng.uniform(-np.pi, np.pi, n)
    m_transverse = np.hypot(transverse, m)
    return np.column_stack(
        [
            m_transverse * np.cosh(rapidity),
            transverse * np.cos(azimuth),
            transverse * np.sin(azimuth),
            m_transverse * np.sinh(rapidity),
        ]
    )


def pair_produced(
    rng: np.random.Generator, n: int, m1: float, m2: float, mean_pt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return two particles of masses `m1` and `m2`, each (n, 4), back to back in the transverse plane."""
    first = produced(rng, n, m1, mean_pt, 0.9)
    rapidity = rng.normal(0, 0.9, n)
    m_transverse = np.hypot(pt(first), m2)
    second = np.column_stack(
        [m_transverse * np.cosh(rapidity), -first[:, 1], -first[:, 2], m_transverse * np.sinh(rapidity)]
    )
    return first, second
