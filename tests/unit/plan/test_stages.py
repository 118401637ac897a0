"""The table of stages and the rules of the workflow are about the same things."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import modelferry
from modelferry.plan.stages import OF_MODELS, STAGES

RULES = Path(modelferry.__file__).parents[1] / "rules"


def rules() -> set[str]:
    """Return the rules of the workflow; those made in loops without what they are made for, ``template_{format}``."""
    text = "\n".join(path.read_text() for path in RULES.glob("*.smk"))
    named = re.findall(r"^\s*rule (\w+):", text, re.MULTILINE)
    made = re.findall(r"^\s*rule:\n\s*name:\n\s*f\"(\w+)_\{", text, re.MULTILINE)
    assert len(named) + len(made) == len(re.findall(r"^\s*rule\b", text, re.MULTILINE))
    return {*named, *made}


def test_every_rule_is_a_stage_and_every_stage_a_rule() -> None:
    names = [stage.rule for stage in STAGES]
    assert sorted([*names, "chunk"]) == sorted(rules()), "chunks hold the jobs of all stages, on a cluster"


def test_modules_of_stages_are_there_and_only_commands_have_none() -> None:
    assert all(find_spec(stage.module) for stage in STAGES if stage.module)
    assert {stage.rule for stage in STAGES if not stage.module} == {"demo_events", "demo_train", "build_cpp", "gate"}


def test_stages_of_models_keep_failures() -> None:
    assert set(OF_MODELS) <= set(STAGES)
    assert all(stage.failure for stage in OF_MODELS)
