"""Reading `config.yaml`: pydantic's findings become one line each, with file, line and the nearest right word."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from modelferry.checkpoints.trusted import trust
from modelferry.config import Config
from modelferry.config.seen import Seen
from modelferry.config.strict import ELSEWHERE, UNKNOWN_KEY
from modelferry.core.errors import ConfigError
from modelferry.core.known_files import is_settled, stamp
from modelferry.core.reading import read_json, read_text, read_yaml

ENVIRONMENT_VARIABLE = "MODELFERRY_CONFIG"
HANDED_ON = "seen when the workflow started"
"""Key of what a start of the workflow saw, in the config that it hands on."""


def read_config(path: Path | str | None = None) -> Config:
    """Read and check a config file.

    Parameters
    ----------
    path
        The file; by default what ``$MODELFERRY_CONFIG`` names (the workflow sets it), else ``config.yaml``.
    """
    path = config_path(path)
    if not path.exists():
        raise ConfigError(f"there is no {path}", "run in the workflow's folder, or name a file with --config")
    key = (path, Path.cwd(), stamp(path))
    config = _read.get(key)
    if config is None:
        read = read_json if path.suffix == ".json" else read_yaml
        config = parse_config(read(path, ConfigError), path)
    if stamp(path) == key[-1] and is_settled(path):
        _read.clear()
        _read[key] = config
    trust(config.trusted_classes)
    return config


_read: dict[tuple[Path, Path, str], Config] = {}
"""The config that was read last, for as long as nobody touches its file."""


def config_path(path: Path | str | None = None) -> Path:
    """Return the config file that a call is about: `path`, or the one that the workflow or the folder has."""
    return Path(path or os.environ.get(ENVIRONMENT_VARIABLE, "config.yaml"))


def parse_config(data: Any, source: Path | str = "config.yaml", within: tuple[str, ...] = ()) -> Config:
    """Check a config that was read already; `source` is searched for the line of what is wrong.

    `within` are the keys below which it stands there.
    """
    try:
        seen = Seen.model_validate(data.get(HANDED_ON, {})) if isinstance(data, Mapping) else Seen()
        own = {key: value for key, value in data.items() if key != HANDED_ON} if isinstance(data, Mapping) else data
        return Config.model_validate(own or {}, context=seen)
    except ValidationError as error:
        findings = [_finding(item, Path(source), within) for item in error.errors()]
        raise ConfigError("; ".join(findings)) from None


def handed_on(data: Mapping[str, Any], config: Config) -> str:
    """Return a config as JSON, with what its patterns match now: files that come later do not change its models."""
    return json.dumps({**data, HANDED_ON: config.seen().model_dump()})  # in its order: ids follow that of the axes


def _finding(item: Mapping[str, Any], source: Path, within: Sequence[str]) -> str:
    message = item["msg"].removeprefix("Value error, ")
    key = item["ctx"]["key"] if item["type"] == UNKNOWN_KEY else None
    where = (*within, *item["loc"], *(item["ctx"]["at"] if item["type"] == ELSEWHERE else ()))
    line = _line(source, where, key)
    location = f"{source}:{line}" if line else str(source)
    address = ".".join(str(part) for part in where)
    if item["type"] == "missing":
        message = "is missing"
    elif item["type"] not in ("value_error", UNKNOWN_KEY, ELSEWHERE):
        message = f"{message} (found: {item['input']!r})"
    return f"{location}: {address}: {message}" if address else f"{location}: {message}"


def _line(source: Path, location: Sequence[int | str], key: str | None) -> int | None:
    """Return the line of a value, or of one of its keys, as far down as the file has it."""
    try:
        node = yaml.compose(read_text(source, ConfigError))
    except (ConfigError, RecursionError, yaml.YAMLError):
        return None
    for part in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            child = next((value for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
        if child is None:
            break
        node = child
    if isinstance(node, yaml.MappingNode) and key is not None:
        node = next((name for name, _ in node.value if name.value == key), node)
    return node.start_mark.line + 1 if node is not None else None
