"""Synthetic jets in the columns of JetClass files, to try networks on: no physics beyond sizes and spectra."""

from __future__ import annotations

import numpy as np

from modelferry.families.jets.columns import Jagged, Value

TYPES = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
SHARES = (0.5, 0.12, 0.32, 0.03, 0.03)
MASSES = (0.13957, 0.49761, 0.0, 0.000511, 0.10566)
CHARGED = (True, False, False, True, True)


def sample_jets(rng: np.random.Generator, jets: int, particles: int) -> dict[str, Value]:
    """Return the columns of so many jets of so many particles each, hardest first.

    Momenta are in GeV, impact parameters in mm; `part_deta` grows away from the centre of the detector.
    """
    shape = (jets, particles)
    share = np.sort(rng.exponential(1, shape) ** 2 + 1e-3, axis=1)[:, ::-1]
    pt = share / share.sum(axis=1, keepdims=True) * rng.uniform(500, 1000, (jets, 1))
    away = rng.exponential(0.25, shape).clip(max=0.8)
    angle, axis_eta, axis_phi = (
        rng.uniform(-np.pi, np.pi, shape),
        rng.uniform(-2, 2, (jets, 1)),
        rng.uniform(-3, 3, (jets, 1)),
    )
    deta, dphi = away * np.cos(angle), away * np.sin(angle)
    eta, phi = axis_eta + np.where(axis_eta > 0, 1, -1) * deta, axis_phi + dphi
    kind = rng.choice(len(TYPES), shape, p=SHARES)
    charged = np.take(CHARGED, kind)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    energy = np.sqrt((momentum**2).sum(axis=0) + np.take(MASSES, kind) ** 2)
    total, total_energy = momentum.sum(axis=2), energy.sum(axis=1)
    mass = np.sqrt(np.maximum(total_energy**2 - (total**2).sum(axis=0), 0))
    displaced = rng.standard_t(2, (2, *shape)) * 0.1 * charged
    uncertain = rng.exponential(0.05, (2, *shape)) * charged
    of_particles = {
        "px": momentum[0],
        "py": momentum[1],
        "pz": momentum[2],
        "energy": energy,
        "deta": deta,
        "dphi": dphi,
        "d0val": displaced[0],
        "d0err": uncertain[0],
        "dzval": displaced[1],
        "dzerr": uncertain[1],
        "charge": charged * rng.choice([-1, 1], shape),
        **{name: kind == number for number, name in enumerate(TYPES)},
    }
    of_jets = {
        "pt": np.hypot(*total[:2]),
        "eta": axis_eta[:, 0],
        "phi": axis_phi[:, 0],
        "energy": total_energy,
        "sdmass": mass,
        "nparticles": np.full(jets, particles),
    }
    counts = np.full(jets, particles, np.int64)
    columns: dict[str, Value] = {
        f"part_{name}": Jagged(column.ravel().astype(np.float32), counts) for name, column in of_particles.items()
    }
    return columns | {f"jet_{name}": column.astype(np.float32) for name, column in of_jets.items()}
