"""Why a job runs again, in words: what changed among its parameters, instead of all of them before and now."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping

Reasons = Mapping[str, Mapping[str, str]]
"""What decides whether a job runs again: value by name, by kind (`code`, `config`, `versions`, `weights`, …)."""

LISTED = 6
"""So many changes of one kind are named."""
SHOWN = ("config", "versions")
"""Kinds whose values say something to a reader; those of others are digests."""
FOUND = "found"
"""Kind of what is wrong with files that are there: each value follows the file's name."""
PARAMETERS = re.compile(
    r"Union of exclusive params before and now across all output: before: (?P<before>.*?) now: (?P<now>\{.*\}) ?"
)
"""What Snakemake says of changed parameters."""


class ReadableReasons(logging.Filter):
    """Lets Snakemake's reasons name what changed. What it says in another form is left as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the reason of a job."""
        if isinstance(reason := getattr(record, "reason", None), str):
            record.reason = readable(reason)
        return True


def readable(reason: str) -> str:
    """Return a reason of Snakemake's in which changed parameters are told in words."""
    if (match := PARAMETERS.search(reason)) is None:
        return reason
    try:
        before, (now,) = (ast.literal_eval(f"[{match[group]}]") for group in ("before", "now"))
        changes = list(dict.fromkeys(change for old in before for change in changed(old, now)))
    except (ValueError, SyntaxError, AttributeError):
        return reason
    return reason[: match.start()] + "; ".join(changes) + reason[match.end() :]


def changed(before: Reasons, now: Reasons) -> Iterator[str]:
    """Yield what differs, a line for each kind."""
    for kind in dict.fromkeys([*now, *before]):
        old, new = before.get(kind, {}), now.get(kind, {})
        names = [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        if kind == FOUND:
            yield from (f"{name} {new[name]}" for name in names if name in new)
        elif names:
            words = [_change(name, old.get(name), new.get(name)) if kind in SHOWN else name for name in names[:LISTED]]
            yield f"{kind}: {', '.join(words)}{more}"


def _change(name: str, old: str | None, new: str | None) -> str:
    return f"{name} {'none' if old is None else old} → {'none' if new is None else new}"
