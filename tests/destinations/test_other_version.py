"""The networks of the default config in ONNX Runtime 1.17.1, whose packages pip gets: `make test-destinations`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from campaigns import validated
from modelferry.families import load_family

CONFIG = Path(__file__).parents[2] / "config.yaml"
CAMPAIGNS: dict[str, dict[str, Any]] = yaml.safe_load(CONFIG.read_text())["campaigns"]
DESTINATIONS = {"onnxruntime-1.17.1": {"onnxruntime": {"version": "1.17.1"}}, "cmssw": "cmssw"}

pytestmark = pytest.mark.skipif(
    "MODELFERRY_TEST_DESTINATIONS" not in os.environ, reason="gets packages: make test-destinations"
)


@pytest.mark.parametrize("export", DESTINATIONS)
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_demo_network_passes_in_the_older_version(
    name: str, export: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = CAMPAIGNS[name]
    family = load_family(entry["family"])
    hyperparameters = family.resolve(entry.get("hyperparameters", {}), {})
    torch.manual_seed(1)
    weights = family.configured(hyperparameters).reference(hyperparameters).state_dict()
    torch.save({"state_dict": weights}, tmp_path / "0.ckpt")
    monkeypatch.chdir(tmp_path)
    campaign = {
        "family": entry["family"],
        "hyperparameters": entry.get("hyperparameters", {}),
        "checkpoint": f"{tmp_path}/{{fold}}.ckpt",
        "destinations": [DESTINATIONS[export]],
    }
    _, found = validated(campaign, "onnxruntime@1.17.1")
    assert found[export].status == "passed", found[export].reason
    assert found[export].runtime == "onnxruntime@1.17.1"
    assert len(found[export].controls) > 3
    assert all(control.detected for control in found[export].controls)
