"""Mistakes in `embed` and `explore`, in one line that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.config import Config
from modelferry.core.errors import ConfigError
from modelferry.plan import Plan
from modelferry.plan.start import _find_mistakes

CAMPAIGN = {
    "family": "particle_transformer",
    "axes": {"fold": [0]},
    "checkpoint": "net.pt",
    "hyperparameters": {"pair_activation": True},
    "formats": ["onnx"],
    "embed": {"files": "jets/*"},
    "explore": {"jets": 30},
}


@pytest.mark.parametrize(("change", "said"), [
    ({"explore": {}, "embed": None}, "explore: there are no embeddings to look at; add `embed`"),
    ({"embed": {"files": "x", "export": "onx"}}, "embed: no export 'onx'; did you mean 'onnx'?"),
    ({"embed": {"files": "demo"}}, "demo events are for `checkpoint: demo`"),
    ({"embed": {"files": "{folt}.root"}}, "unknown axis 'folt'; did you mean 'fold'?"),
    ({"embed": {"files": []}}, "no files; give at least one pattern"),
    ({"embed": {"fils": "x"}}, "unknown key 'fils'; did you mean 'files'?"),
])  # fmt: skip
def test_mistakes_in_the_config_say_what_to_do(change: dict[str, Any], said: str) -> None:
    campaign = {**CAMPAIGN, **change}
    with pytest.raises(ValueError, match="campaigns") as caught:
        Config.model_validate({"campaigns": {"jets": campaign}})
    assert said in str(caught.value)


def test_a_family_without_jets_is_refused_when_the_workflow_starts() -> None:
    campaign = {
        "family": "bytecnn", "axes": {"fold": [0]}, "checkpoint": "demo", "formats": ["onnx"],
        "embed": {"files": "demo"},
    }  # fmt: skip
    plan = Plan(Config.model_validate({"campaigns": {"jets": campaign}}))
    with pytest.raises(ConfigError, match=r"bytecnn has no jets to embed|takes no jets"):
        _find_mistakes(plan)
