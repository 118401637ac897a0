"""Immutable models, strict about their keys, and what several records and tables share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

Exactness = Literal["exact", "approximation"]


Status = Literal["passed", "failed"]


class Part(BaseModel):
    """A piece of a record: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Environment(Part):
    """Where something was made or measured."""

    python: str
    platform: str
    cpu: str
    isa: str
    cores: int
    load_average: float
    packages: Mapping[str, str]
