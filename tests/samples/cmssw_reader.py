"""What CMSSW does with a tagger, written from the description of its sources in docs/destinations.md alone.

It shares no code with the package: variables from raw columns, `preprocess.json`, flat arrays of float32 by name, one
jet a call, output 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Columns = Mapping[str, np.ndarray]
"""Raw columns of one jet: (particles,), or one number."""


def _pt(jet: Columns) -> np.ndarray:
    return np.hypot(jet["part_px"], jet["part_py"])


VARIABLES: Mapping[str, Callable[[Columns], np.ndarray]] = {
    "part_mask": lambda jet: np.ones_like(jet["part_energy"]),
    "part_pt_log": lambda jet: np.log(_pt(jet)),
    "part_e_log": lambda jet: np.log(jet["part_energy"]),
    "part_logptrel": lambda jet: np.log(_pt(jet) / jet["jet_pt"]),
    "part_logerel": lambda jet: np.log(jet["part_energy"] / jet["jet_energy"]),
    "part_deltaR": lambda jet: np.hypot(jet["part_deta"], jet["part_dphi"]),
    "part_d0": lambda jet: np.tanh(jet["part_d0val"]),
    "part_dz": lambda jet: np.tanh(jet["part_dzval"]),
}
"""What a producer computes; all others are columns."""


def prepared(preprocess: Mapping[str, Any], jet: Columns) -> dict[str, np.ndarray]:
    """Return a flat array of float32 for each input, variable by variable."""
    arrays = {}
    for name in preprocess["input_names"]:
        group = preprocess[name]
        least, most = (group.get("var_length", group.get(key)) for key in ("min_length", "max_length"))
        rows = [_row(_values(jet, v), group["var_infos"][v], least, most) for v in group["var_names"]]
        arrays[name] = np.concatenate(rows)
    return arrays


def _values(jet: Columns, variable: str) -> np.ndarray:
    return VARIABLES[variable](jet) if variable in VARIABLES else jet[variable]


def _row(values: np.ndarray, info: Mapping[str, float], least: int, most: int) -> np.ndarray:
    low, high, pad = info["lower_bound"], info["upper_bound"], info.get("pad", 0)
    assert low <= pad <= high, "CMSSW aborts"
    values = np.where(np.isfinite(values) & (np.abs(values) <= 1e32), values, np.float32(info["replace_inf_value"]))
    scaled = (values - np.float32(info["median"])) * np.float32(info["norm_factor"])
    clamped = np.clip(scaled, np.float32(low), np.float32(high)).astype(np.float32)
    row = np.full(min(max(len(clamped), least), most), pad, np.float32)
    row[: len(clamped)] = clamped[: len(row)]
    return row


def scores(model: Path, beside: Path, jets: Sequence[Columns]) -> np.ndarray:
    """Return output 0 for each jet, (jets, classes)."""
    preprocess = json.loads(beside.read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    rows = []
    for jet in jets:
        flat = prepared(preprocess, jet)
        feeds = {}
        for given in session.get_inputs():
            variables = len(preprocess[given.name]["var_names"])
            feeds[given.name] = flat[given.name].reshape(1, variables, -1)
        rows.append(session.run(None, feeds)[0][0])
    return np.stack(rows)
