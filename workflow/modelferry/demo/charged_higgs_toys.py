"""Toy events of the charged-Higgs analysis: right decay chains and masses, no matrix elements.

Good enough that a network learns what the real one does (a dimuon peak, b jets, a soft lepton near a jet),
and of no use for physics.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import awkward as ak
import numpy as np

from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.demo import kinematics as kin
from modelferry.demo.detector import M_LEPTON, Partons, detect
from modelferry.demo.kinematics import pair_produced, produced, two_body
from modelferry.families.charged_higgs_particlenet.analysis_tree import Collections

CHANNELS = {"Run1E2Mu": "electron", "Run3Mu": "muon"}
"""Channel → kind of the lepton beside the opposite-sign muon pair."""

SIGNAL = re.compile(r"TTToHcToWAToMuMu-MHc(?P<hc>\d+)_MA(?P<a>\d+)")

M_TOP, M_W, M_Z, M_B = 172.5, 80.4, 91.19, 4.7

Process = Callable[[np.random.Generator, int], Partons]


def generate(channel: str, sample: str, n: int, seed: int) -> Collections:
    """Return `n` selected events of a sample in a channel, the same for the same arguments.

    Selected as in `modelferry.demo.detector`: three leptons and two or more jets.

    Raises
    ------
    ConfigError
        If the channel or sample is unknown.
    """
    if channel not in CHANNELS:
        raise ConfigError(f"channel '{channel}' has no toy events", did_you_mean(channel, CHANNELS))
    process = process_of(sample)
    rng = np.random.default_rng(seed)
    parts: list[Collections] = []
    while sum(map(len, parts)) < n:
        parts.append(detect(rng, process(rng, 4 * n), CHANNELS[channel]))
    return _first(parts, n)


def process_of(sample: str) -> Process:
    """Return the generator of a sample; raise `ConfigError` if there is none."""
    if match := SIGNAL.fullmatch(sample):
        m_hc, m_a = float(match["hc"]), float(match["a"])
        if not 0.3 < m_a < m_hc < M_TOP - M_B:
            raise ConfigError(
                f"signal '{sample}' cannot decay", f"give masses with 0.3 < MA < MHc < {M_TOP - M_B:.1f} GeV"
            )
        return partial(_signal, m_hc, m_a)
    if sample not in BACKGROUNDS:
        known = [*BACKGROUNDS, "TTToHcToWAToMuMu-MHc{X}_MA{Y}"]
        raise ConfigError(f"sample '{sample}' has no toy events", did_you_mean(sample, known))
    return BACKGROUNDS[sample]


def _signal(m_hc: float, m_a: float, rng: np.random.Generator, n: int) -> Partons:
    top, other = pair_produced(rng, n, M_TOP, M_TOP, 90.0)
    b1, w1 = two_body(rng, top, M_B, M_W)
    b2, hc = two_body(rng, other, M_B, m_hc)
    w2, a = two_body(rng, hc, min(M_W, 0.8 * (m_hc - m_a)), m_a)
    leptonic, hadronic = _shuffled(rng, w1, w2)
    return _lepton_and_pair(rng, leptonic, a, [*two_body(rng, hadronic, 0, 0)], [b1, b2], mean_isr=0.7)


def _ttz(rng: np.random.Generator, n: int) -> Partons:
    top, other = pair_produced(rng, n, M_TOP, M_TOP, 110.0)
    b1, leptonic = two_body(rng, top, M_B, M_W)
    b2, hadronic = two_body(rng, other, M_B, M_W)
    z = produced(rng, n, _z_mass(rng, n), 90.0, 1.0)
    return _lepton_and_pair(rng, leptonic, z, [*two_body(rng, hadronic, 0, 0)], [b1, b2], mean_isr=1.0)


def _wz(rng: np.random.Generator, n: int) -> Partons:
    w = produced(rng, n, M_W, 45.0, 1.2)
    z = produced(rng, n, _z_mass(rng, n), 45.0, 1.2)
    return _lepton_and_pair(rng, w, z, [], [], mean_isr=2.5)


def _ttll(rng: np.random.Generator, n: int) -> Partons:
    """Two prompt leptons, and a soft muon from the decay of a b hadron: no resonance."""
    top, other = pair_produced(rng, n, M_TOP, M_TOP, 90.0)
    b1, w1 = two_body(rng, top, M_B, M_W)
    b2, w2 = two_body(rng, other, M_B, M_W)
    (extra, nu1), (muon, nu2) = two_body(rng, w1, 0, 0), two_body(rng, w2, 0, 0)
    b = np.where(rng.random(n)[:, None] < 0.5, b1, b2)
    fake_pt = 10.0 + rng.exponential(10.0, n)
    fake = _from_polar(fake_pt, kin.eta(b) + rng.normal(0, 0.35, n), kin.phi(b) + rng.normal(0, 0.35, n))
    sign = _signs(rng, n)
    quarks, is_b = _with_isr(rng, n, [], [b1, b2], mean_isr=1.0)
    return Partons(
        leptons=np.stack([extra, muon, fake], axis=1),
        charges=np.stack([sign, -sign, sign], axis=1),
        quarks=quarks,
        is_b=is_b,
        invisible=nu1 + nu2,
        prompt=(True, True, False),
    )


BACKGROUNDS: dict[str, Process] = {
    "Skim_TriLep_TTLL_powheg": _ttll,
    "Skim_TriLep_WZTo3LNu_amcatnlo": _wz,
    "Skim_TriLep_TTZToLLNuNu": _ttz,
}


def _lepton_and_pair(
    rng: np.random.Generator,
    w: np.ndarray,
    resonance: np.ndarray,
    light: list[np.ndarray],
    b: list[np.ndarray],
    mean_isr: float,
) -> Partons:
    """Return W → ℓν and a resonance → μμ, with quarks and initial-state radiation."""
    n = len(w)
    lepton, neutrino = two_body(rng, w, 0, 0)
    muon, antimuon = two_body(rng, resonance, M_LEPTON["muon"], M_LEPTON["muon"])
    quarks, is_b = _with_isr(rng, n, light, b, mean_isr)
    return Partons(
        leptons=np.stack([lepton, muon, antimuon], axis=1),
        charges=np.stack([_signs(rng, n), np.full(n, -1), np.full(n, 1)], axis=1),
        quarks=quarks,
        is_b=is_b,
        invisible=neutrino,
    )


def _with_isr(
    rng: np.random.Generator,
    n: int,
    light: list[np.ndarray],
    b: list[np.ndarray],
    mean_isr: float,
    most: int = 6,
) -> tuple[np.ndarray, np.ndarray]:
    radiated = rng.poisson(mean_isr, n)
    isr = [produced(rng, n, 0.0, 35.0, 1.3) * (slot < radiated)[:, None] for slot in range(most)]
    quarks = np.stack([*b, *light, *isr], axis=1)
    return quarks, np.broadcast_to(np.arange(quarks.shape[1]) < len(b), quarks.shape[:2])


def _first(parts: list[Collections], n: int) -> Collections:
    return Collections(
        **{name: _join([getattr(part, name) for part in parts])[:n] for name in Collections.__dataclass_fields__}
    )


def _join(arrays: list) -> np.ndarray | ak.Array:
    return np.concatenate(arrays) if isinstance(arrays[0], np.ndarray) else ak.concatenate(arrays)


def _from_polar(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    return np.column_stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])


def _shuffled(rng: np.random.Generator, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    swap = rng.random(len(a))[:, None] < 0.5
    return np.where(swap, b, a), np.where(swap, a, b)


def _signs(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.choice([-1, 1], n)


def _z_mass(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return Breit–Wigner masses with a width of 2.5 GeV, within 15 GeV of the Z boson's."""
    return M_Z + np.clip(1.25 * rng.standard_cauchy(n), -15, 15)
