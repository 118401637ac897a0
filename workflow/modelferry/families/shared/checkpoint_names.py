"""Names of tensors that trainers write in several ways."""

from __future__ import annotations

import re
from collections.abc import Iterable


def renamed(name: str, patterns: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """Return a tensor's name after each substitution of `patterns`."""
    for pattern, replacement in patterns:
        name = pattern.sub(replacement, name)
    return name
