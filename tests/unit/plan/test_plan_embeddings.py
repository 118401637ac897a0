"""Mistakes in `embed` and `explore`, in one line that says what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.config import Config
from modelferry.core.errors import ConfigError
from modelferry.plan import Plan
from modelferry.plan.embeddings import parts
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


@given(st.lists(st.text(min_size=1).map(lambda name: f"jets/{name.replace('/', '|')}.root"), unique=True))
def test_parts_of_any_files_have_safe_names_one_each(files: list[str]) -> None:
    names = parts(files)
    assert sorted(names.values()) == sorted(files)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,110}", name) for name in names)


def test_a_safe_name_stays_and_a_changed_or_shared_one_gets_a_digest() -> None:
    files = ["x/b.c+d_1-2.root", "x/a.root", "y/a.root", "x/b$(touch PWNED).root", "x/-c.root", "x/é.root", "x/è.root"]
    names = [re.sub("-[0-9a-f]{8}$", "-DIGEST", name) for name in parts(files)]
    assert names == [
        "b.c+d_1-2", "a-DIGEST", "a-DIGEST", "b__touch_PWNED_-DIGEST", "_c-DIGEST", "_-DIGEST", "_-DIGEST",
    ]  # fmt: skip


def test_a_file_named_like_another_ones_part_is_refused() -> None:
    (taken, _) = parts(["x/a.root", "y/a.root"])
    with pytest.raises(ConfigError, match=f"x/a.root and z/{taken}.root would both be embedded as '{taken}'"):
        parts(["x/a.root", "y/a.root", f"z/{taken}.root"])
