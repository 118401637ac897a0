"""A reference that gives two answers is no truth: it is refused, with what makes its noise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checkpoint_samples import save_checkpoint
from modelferry.config.file import parse_config
from modelferry.core.errors import NetworkError
from modelferry.families.charged_higgs_particlenet.family import ChargedHiggsParticleNet
from modelferry.plan import Plan
from modelferry.stages.validation.reference import record_reference
from noise_samples import NOISE, named, with_noise


@pytest.mark.parametrize("kind", NOISE)
def test_reference_that_makes_noise_is_not_recorded(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "0.pt", 8)
    calm = ChargedHiggsParticleNet.reference
    monkeypatch.setattr(ChargedHiggsParticleNet, "reference", lambda *call: with_noise(calm(*call), kind))
    config = {
        "family": "charged_higgs_particlenet", "axes": {"fold": [0]}, "checkpoint": "{fold}.pt",
        "formats": ["torchscript"], "validation": {"events": 1},
    }  # fmt: skip
    planned = Plan(parse_config({"campaigns": {"a": config}})).model("a/fold-0")
    with pytest.raises(NetworkError, match=re.escape(named(kind, "Noisy"))):
        record_reference(planned)
