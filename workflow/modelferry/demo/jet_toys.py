"""Toy jets in JetClass layout: prongs, masses, flavours and lifetimes tell ten classes apart, no shower behind them.

Good enough that a network learns what real ones show (masses, prongs, displaced tracks, leptons), and of no use for
physics. Everything is computed for all jets at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelferry.core.errors import EventFileError
from modelferry.core.files import replacing
from modelferry.families.jets.columns import Jagged, Value

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""Class names in JetClass's order; the position is the label."""
LABELS = tuple(f"label_{name}" for name in CLASSES)
BOOLEAN = ("label_Hbb", "label_Hcc", "label_Hgg", "label_H4q", "label_Hqql")
FLAGS = ("part_isChargedHadron", "part_isNeutralHadron", "part_isPhoton", "part_isElectron", "part_isMuon")
CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)
PION, KAON = 0.1396, 0.4976
MASSES = np.array([PION, KAON, 0.0, 0.0005, 0.1057])
PRONGS = 4
STORED_ROWS = 2048


@dataclass(frozen=True)
class Flavour:
    """What a prong becomes: mean number of particles, width in ΔR, and lifetime as a displacement in mm."""

    particles: float
    width: float
    displaced: float = 0.0
    pdg: int = 1
    lepton: bool = False


LIGHT, CHARM, BEAUTY, GLUON = (
    Flavour(6, 0.05), Flavour(6.5, 0.05, 0.05, 4), Flavour(8, 0.055, 0.12, 5), Flavour(9, 0.07, 0, 21)
)  # fmt: skip
LEPTON, NOTHING = Flavour(0, 0.0, 0.0, 13, True), Flavour(0, 0.0, 0.0, 0)
FLAVOURS = (LIGHT, CHARM, BEAUTY, GLUON, LEPTON, NOTHING)


@dataclass(frozen=True)
class Process:
    """Mass in GeV and prongs of a class; without a mass, a falling spectrum. A lepton's neutrino is lost."""

    mass: float | None
    prongs: tuple[tuple[Flavour, ...], ...]
    """What each prong may be, with equal chances."""
    pdg: int = 0


PROCESSES: Mapping[str, Process] = {
    "QCD": Process(None, ((LIGHT, GLUON), (GLUON,)), 21),
    "Hbb": Process(125.0, ((BEAUTY,), (BEAUTY,)), 25),
    "Hcc": Process(125.0, ((CHARM,), (CHARM,)), 25),
    "Hgg": Process(125.0, ((GLUON,), (GLUON,)), 25),
    "H4q": Process(125.0, ((LIGHT, CHARM), (LIGHT,), (LIGHT, CHARM), (LIGHT,)), 25),
    "Hqql": Process(125.0, ((LIGHT, CHARM), (LIGHT,), (LEPTON,)), 25),
    "Zqq": Process(91.2, ((LIGHT, CHARM, BEAUTY), (LIGHT,)), 23),
    "Wqq": Process(80.4, ((LIGHT, CHARM), (LIGHT,)), 24),
    "Tbqq": Process(172.5, ((BEAUTY,), (LIGHT, CHARM), (LIGHT,)), 6),
    "Tbl": Process(172.5, ((BEAUTY,), (LEPTON,)), 6),
}


@dataclass(frozen=True)
class Prongs:
    """Prongs of all jets, each (jets, PRONGS): share of the jet's pt, position around its axis, index in `FLAVOURS`."""

    share: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    flavour: np.ndarray


def generate(labels: np.ndarray, seed: int) -> dict[str, Value]:
    """Return the columns of toy jets of these classes, (jets,), the same for the same arguments."""
    rng = np.random.default_rng(seed)
    jets = len(labels)
    pt = 500 + 500 * rng.beta(1, 2.2, jets)
    eta, phi = np.clip(rng.normal(0, 0.9, jets), -2, 2), rng.uniform(-np.pi, np.pi, jets)
    prongs = _prongs(rng, labels, pt)
    jet, prong, share, particles = _particles(rng, prongs)
    order = np.lexsort((-share, jet))
    jet, prong, share = jet[order], prong[order], share[order]
    particles = {name: values[order] for name, values in particles.items()}
    return _columns(rng, labels, (pt, eta, phi), prongs, jet, prong, share, particles)


def mixed(jets: int, seed: int) -> dict[str, Value]:
    """Return toy jets of all classes, equally many of each but for a remainder, in random order."""
    labels = np.random.default_rng(seed).permutation(np.arange(jets) % len(CLASSES))
    return generate(labels, seed + 1)


def write(path: Path | str, columns: Mapping[str, Value]) -> None:
    """Write columns as a ROOT file, or as parquet if the name ends so, atomically, in JetClass's types."""
    path = Path(path)
    stored = {name: _stored(name, column) for name, column in columns.items()}
    writers = {".root": _write_root, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise EventFileError(f"{path}: toy jets are written as .root or .parquet", "choose one of the two")
    with replacing(path) as temporary:
        writers[path.suffix](temporary, stored)


def _prongs(rng: np.random.Generator, labels: np.ndarray, pt: np.ndarray) -> Prongs:
    """Return prongs whose positions give each jet the mass of its class: m² = pt² Σ z_i z_j ΔR_ij²."""
    jets = len(labels)
    flavour = np.full((jets, PRONGS), FLAVOURS.index(NOTHING))
    mass = np.empty(jets)
    for label, name in enumerate(CLASSES):
        of_class = np.flatnonzero(labels == label)
        process = PROCESSES[name]
        spectrum = rng.gamma(2.2, 30.0, len(of_class)) + 5
        mass[of_class] = process.mass * rng.normal(1, 0.08, len(of_class)) if process.mass else spectrum
        for position, allowed in enumerate(process.prongs):
            choices = np.array([FLAVOURS.index(one) for one in allowed])
            flavour[of_class, position] = choices[rng.integers(0, len(choices), len(of_class))]
    present = flavour != FLAVOURS.index(NOTHING)
    share = rng.gamma(4.0, 1.0, (jets, PRONGS)) * present
    qcd = labels == CLASSES.index("QCD")
    share[qcd, 1] *= 0.7 * rng.random(int(qcd.sum()))
    share /= share.sum(axis=1, keepdims=True)
    eta, phi = (rng.normal(0, 1, (jets, PRONGS)) * present for _ in range(2))
    eta, phi = (axis - (share * axis).sum(axis=1, keepdims=True) for axis in (eta, phi))
    scale = mass / (pt * np.sqrt((share * (eta**2 + phi**2)).sum(axis=1)))
    eta, phi = (np.clip(axis * scale[:, None], -0.75, 0.75) for axis in (eta, phi))
    return Prongs(share, eta, phi, flavour)


def _particles(
    rng: np.random.Generator, prongs: Prongs
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return of each particle its jet, its prong, its share of the jet's pt, and what it is; jet by jet."""
    mean = np.array([one.particles for one in FLAVOURS])[prongs.flavour]
    lepton = np.array([one.lepton for one in FLAVOURS])[prongs.flavour]
    hadronic = (mean > 0) * (1 + rng.poisson(mean * (0.6 + 0.8 * np.sqrt(prongs.share))))
    number = np.where(lepton, 1, hadronic)
    slot = np.repeat(np.arange(number.size), number.ravel())
    jet, prong = np.divmod(slot, PRONGS)
    weight = rng.exponential(1, len(slot)) ** 2 + 1e-3
    share = weight / np.bincount(slot, weights=weight, minlength=number.size)[slot] * prongs.share.ravel()[slot]
    is_lepton = lepton.ravel()[slot]
    share = np.where(is_lepton, share * rng.uniform(0.3, 0.9, len(slot)), share)
    flavour = prongs.flavour.ravel()[slot]
    width = np.array([one.width for one in FLAVOURS])[flavour] * np.minimum(2.5, 0.18 / np.sqrt(share))
    kind = rng.choice(5, len(slot), p=[0.58, 0.14, 0.27, 0.005, 0.005])
    semileptonic = (flavour == FLAVOURS.index(BEAUTY)) & (rng.random(len(slot)) < 0.03)
    kind = np.where(is_lepton | semileptonic, rng.integers(ELECTRON, MUON + 1, len(slot)), kind)
    charged = np.isin(kind, (CHARGED_HADRON, ELECTRON, MUON))
    lifetime = np.array([one.displaced for one in FLAVOURS])[flavour] * (rng.random(len(slot)) < 0.5)
    return jet, prong, share, {
        "deta": prongs.eta.ravel()[slot] + rng.normal(0, 1, len(slot)) * width,
        "dphi": prongs.phi.ravel()[slot] + rng.normal(0, 1, len(slot)) * width,
        "kind": kind,
        "charge": np.where(charged, rng.choice([-1, 1], len(slot)), 0),
        **_impact(rng, "d0", lifetime, charged, 1.0),
        **_impact(rng, "dz", lifetime, charged, 1.3),
    }  # fmt: skip


def _impact(
    rng: np.random.Generator, name: str, lifetime: np.ndarray, charged: np.ndarray, scale: float
) -> dict[str, np.ndarray]:
    """Return an impact parameter in mm and its uncertainty; neutral particles have none."""
    particles = len(lifetime)
    error = charged * (0.012 + 0.03 * rng.exponential(1, particles)) * scale
    displaced = lifetime * rng.exponential(1, particles) * rng.choice([-1, 1], particles)
    return {f"{name}val": charged * displaced * scale + rng.normal(0, 1, particles) * error, f"{name}err": error}


def _columns(
    rng: np.random.Generator,
    labels: np.ndarray,
    axis: tuple[np.ndarray, np.ndarray, np.ndarray],
    prongs: Prongs,
    jet: np.ndarray,
    prong: np.ndarray,
    share: np.ndarray,
    particles: Mapping[str, np.ndarray],
) -> dict[str, Value]:
    jets = len(labels)
    counts = np.bincount(jet, minlength=jets)
    pt, eta, phi = (values[jet] for values in axis)
    outward = np.where(eta >= 0, 1.0, -1.0)
    p_t, p_eta = share * pt, eta + outward * particles["deta"]
    p_phi = phi + particles["dphi"]
    momentum = {"px": p_t * np.cos(p_phi), "py": p_t * np.sin(p_phi), "pz": p_t * np.sinh(p_eta)}
    momentum["energy"] = np.sqrt(sum(one**2 for one in momentum.values()) + MASSES[particles["kind"]] ** 2)
    total = {name: np.bincount(jet, weights=one, minlength=jets) for name, one in momentum.items()}
    jet_pt = np.hypot(total["px"], total["py"])
    jet_eta, jet_phi = np.arcsinh(total["pz"] / jet_pt), np.arctan2(total["py"], total["px"])
    side = np.where(jet_eta >= 0, 1.0, -1.0)[jet]
    mass = np.sqrt(np.maximum(total["energy"] ** 2 - jet_pt**2 - total["pz"] ** 2, 0))
    lists = {
        **{f"part_{name}": one for name, one in momentum.items()},
        "part_deta": side * (p_eta - jet_eta[jet]),
        "part_dphi": (p_phi - jet_phi[jet] + np.pi) % (2 * np.pi) - np.pi,
        **{f"part_{name}": particles[name] for name in ("d0val", "d0err", "dzval", "dzerr", "charge")},
        **{flag: particles["kind"] == kind for kind, flag in enumerate(FLAGS)},
    }
    numbers = {
        "jet_pt": jet_pt,
        "jet_eta": jet_eta,
        "jet_phi": jet_phi,
        "jet_energy": total["energy"],
        "jet_nparticles": counts,
        "jet_sdmass": mass * rng.normal(0.96, 0.02, jets),
        **_subjettiness(prongs, jet, share, particles, jets),
        **{name: labels == label for label, name in enumerate(LABELS)},
    }
    pdg = np.array([PROCESSES[name].pdg for name in CLASSES])[labels]
    truth = {"eta": axis[1], "phi": axis[2], "pid": pdg, "pt": axis[0]}
    ones = np.ones(jets, np.int64)
    return {
        **{name: Jagged(np.asarray(values, np.float32), counts) for name, values in lists.items()},
        **{name: np.asarray(values, np.float32) for name, values in numbers.items()},
        **{f"aux_genpart_{name}": np.asarray(values, np.float32) for name, values in truth.items()},
        "aux_truth_match": ones.astype(np.float32),
    }


def _subjettiness(
    prongs: Prongs, jet: np.ndarray, share: np.ndarray, particles: Mapping[str, np.ndarray], jets: int
) -> dict[str, np.ndarray]:
    """Return τ_N = Σ pt · min ΔR / (0.8 Σ pt) around the N hardest prongs, which stand for the axes of a clustering."""
    hardest = np.argsort(-prongs.share, axis=1)
    eta, phi = (np.take_along_axis(position, hardest, axis=1)[jet] for position in (prongs.eta, prongs.phi))
    there = np.take_along_axis(prongs.share, hardest, axis=1)[jet] > 0
    distance = np.hypot(particles["deta"][:, None] - eta, particles["dphi"][:, None] - phi)
    nearest = np.minimum.accumulate(np.where(there, distance, np.inf), axis=1)
    whole = np.bincount(jet, weights=share, minlength=jets) * 0.8
    taus = [np.bincount(jet, weights=share * nearest[:, n], minlength=jets) / whole for n in range(PRONGS)]
    return {f"jet_tau{n + 1}": tau for n, tau in enumerate(taus)}


def _stored(name: str, column: Value) -> Value:
    """Return a column in the type in which JetClass stores it."""
    if isinstance(column, Jagged):
        return Jagged(column.values.astype(np.int32), column.counts) if name in FLAGS else column
    if name in BOOLEAN:
        return column.astype(bool)
    return column.astype(np.int32) if name.startswith("label_") and name != LABELS[0] else column


def _write_parquet(path: Path, columns: Mapping[str, Value]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, column in columns.items():
        if isinstance(column, Jagged):
            offsets = np.concatenate([[0], np.cumsum(column.counts)]).astype(np.int32)
            arrays[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(column.values))
        else:
            arrays[name] = pa.array(column)
    pq.write_table(pa.table(arrays), path, row_group_size=STORED_ROWS)


def _write_root(path: Path, columns: Mapping[str, Value]) -> None:
    import awkward as ak
    import uproot

    lists = {
        name.removeprefix("part_"): ak.unflatten(column.values, column.counts)
        for name, column in columns.items()
        if isinstance(column, Jagged)
    }
    content = {"part": ak.zip(lists), **{n: c for n, c in columns.items() if not isinstance(c, Jagged)}}
    with uproot.recreate(path) as file:
        kinds = {name: getattr(value, "dtype", None) or value.type for name, value in content.items()}
        file.mktree("tree", kinds).extend(content)
