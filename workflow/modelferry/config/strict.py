"""What all sections of the config share: unknown keys are mistakes, and so are names that are no part of a path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from modelferry.core.errors import ConfigError, did_you_mean

UNKNOWN_KEY = "unknown_key"
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

AxisValue = str | int | float


class Strict(BaseModel):
    """A section of the config: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    facts = {"key": str(key), "near": did_you_mean(str(key), cls.model_fields)}
                    raise PydanticCustomError(UNKNOWN_KEY, "unknown key '{key}'; {near}", facts)
        return data


def safe(value: str, what: str) -> str:
    """Return a value that can be part of a path; raise `ValueError` that says `what` it is."""
    if not SAFE.fullmatch(value):
        raise ValueError(f"{what} '{value}' cannot be part of a path; use letters, digits and . _ + -")
    return value


@contextmanager
def as_value_error() -> Iterator[None]:
    """Let pydantic say where in the config something else found a mistake."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(str(error)) from error
