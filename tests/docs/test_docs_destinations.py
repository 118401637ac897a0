"""The settings that docs/destinations.md shows are those of a config, and give the exports that the page names."""

from __future__ import annotations

from typing import Any

import yaml

from modelferry.config.file import parse_config
from modelferry.config.models import Model
from snippets import ROOT, code

PAGE = "docs/destinations.md"
HIGGS = {"family": "charged_higgs_particlenet", "axes": {"fold": [0]}, "checkpoint": "{fold}.pt"}


def models(block: str) -> tuple[Model, ...]:
    """Return the models of a config, or of a campaign with what the page shows of it."""
    data: dict[str, Any] = yaml.safe_load(block)
    return parse_config(data if "campaigns" in data else {"campaigns": {"higgs": {**HIGGS, **data}}}).models()


def test_settings_give_the_exports_that_the_page_names() -> None:
    found = [[export.name for model in models(block) for export in model.exports] for block in code(PAGE, "yaml")]
    assert found == [
        ["onnxruntime-1.17.1"],
        ["cmssw"],
        ["cmssw", "cmssw-torchscript", "cmssw-torch_export"],
        ["triton", "triton-torchscript"],
    ]
    text = (ROOT / PAGE).read_text()
    assert all(f"{name}/" in text or f"`{name}`" in text for names in found[:3] for name in names)
