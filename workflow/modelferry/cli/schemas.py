"""JSON schemas of the config and of every JSON file that the workflow writes, generated from the models."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from modelferry.config import Config
from modelferry.formats import format_names, load_format
from modelferry.plan.stages import STAGES
from modelferry.records import Record
from modelferry.records.chunks import Chunks
from modelferry.records.failure import Failure
from modelferry.records.release import Release

DIALECT = "https://json-schema.org/draft/2020-12/schema"

WRITTEN: tuple[type[Record], ...] = (
    *dict.fromkeys(record for stage in STAGES for record in stage.records),
    Failure,
    Chunks,
    Release,
)
"""All records."""


def all_schemas() -> dict[str, str]:
    """Return the text of each schema by file name."""
    named: dict[str, type[BaseModel]] = {
        "config": Config,
        **{model.__name__.lower(): model for model in WRITTEN},
    }
    for name in format_names():
        named |= load_format(name).schemas()
    return {f"{name}.schema.json": _text(model.model_json_schema()) for name, model in named.items()}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps({"$schema": DIALECT, **schema}, indent=1, ensure_ascii=False) + "\n"
