"""The campaign that the tests of the command line work on."""

from pathlib import Path
from typing import Any

import yaml

CAMPAIGN: dict[str, Any] = {
    "family": "charged_higgs_particlenet",
    "axes": {"channel": ["Run3Mu"], "signal": ["TTToHcToWAToMuMu-MHc100_MA95"], "fold": [3, 4]},
    "checkpoint": "weights/{channel}-{fold}.pt",
    "formats": ["torchscript"],
    "validation": {"events": 50},
    "benchmark": {"seconds": 0.01, "batches": [1], "sizes": [5]},
}
THREE = "higgs/Run3Mu/TTToHcToWAToMuMu-MHc100_MA95/fold-3"
FOUR = THREE.replace("fold-3", "fold-4")


def write_config(folder: Path, **changes: Any) -> None:
    campaign = {**CAMPAIGN, **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump({"campaigns": {"higgs": campaign}}, sort_keys=False))
