"""The sheets' expected figures (`tests/facts`), and the third-party files that some of them are about.

The figures are part of this repository; the checkpoints and data of others are not. A test that needs one of those is
skipped where the file is absent and says which file it is and where it comes from. They are looked for in `data` of the
folder that ``MODELFERRY_SHARED`` names, `../shared` by default.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("MODELFERRY_SHARED", ROOT.parent / "shared")) / "data"
ORIGINS = {
    "coffea": "CoffeaTeam/coffea, tests/samples",
    "finn": "Xilinx/finn, src/finn/qnn-data/cifar10",
    "gnn_mineral_segmentation": "Unexp1ainable/GNN_mineral_segmentation, models",
    "jetnet": "jet-net/JetNet, jetnet/evaluation/fpnd_resources/jetnet/30_particles",
    "particle_transformer": "jet-universe/particle_transformer, models",
    "pinybytecnn": "mitchins/pinybytecnn, tests",
    "pytorch_resnet_cifar10": "akamaster/pytorch_resnet_cifar10, pretrained_models",
    "sophon": "jet-universe/sophon, notebooks",
}
"""Repository and folder that the files of a folder of `DATA` were taken from."""


def expected_figures(name: str) -> dict[str, Any]:
    """Return the figures of a sheet."""
    return json.loads((ROOT / f"tests/facts/{name}.json").read_text())


def third_party(name: str) -> Path:
    """Return a file of others; skip the test where it is absent."""
    if missing := _missing(name):
        pytest.skip(missing)
    return DATA / name


def needs(*names: str) -> pytest.MarkDecorator:
    """Return the mark of tests that are skipped where one of the files is absent."""
    missing = [reason for name in names if (reason := _missing(name))]
    return pytest.mark.skipif(bool(missing), reason="; ".join(missing))


def _missing(name: str) -> str:
    return "" if (DATA / name).is_file() else f"no {name} in {DATA} (from {ORIGINS[name.partition('/')[0]]})"
