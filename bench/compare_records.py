"""Compare the records of two runs of one config, say before and after a change that must not change results.

``python bench/compare_records.py OLD NEW``: two folders with ``results`` and ``reports``. Every JSON record and every
``reference.npz`` must be in both runs and be equal, numbers to the last bit, but for the fields of `IGNORED`, which
differ between any two runs, and for those that are changed on purpose: ``--changed RECORD:FIELD``, patterns as in
`IGNORED`. Prints what differs; the exit code is 1 if anything does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ABSENT = "absent"
SHOWN = 5
"""Differences printed of one field."""


class Rule(NamedTuple):
    """A field that may differ; `record` and `field` are patterns, the names of nested fields are joined by dots."""

    record: str
    field: str
    reason: str


IGNORED = (
    Rule("*", "*environment.*", "the machine, its load and the versions"),
    Rule("*", "*load_average", "the load of the machine"),
    Rule("summary", "generated", "the time of the report"),
    Rule("*", "*content_sha256", "the digest of all else in the record"),
    Rule("*", "files.results/*.json", "the digest of a record, which is compared itself"),
    Rule("*", "*seconds", "a time"),
    Rule("*", "*_ms", "a time"),
    Rule("*", "*samples", "a benchmark takes as many as its time allows"),
    Rule("*", "*peak_memory_mb", "measured like a time"),
    Rule("*", "artifact_sha256", "an artifact holds the names of the modules that made it"),
    Rule("*", "template_sha256", "a template holds the names of the modules that made it"),
    Rule("manifest", "artifact*.sha256", "an artifact holds the names of the modules that made it"),
    Rule("template", "file*.sha256", "a template holds the names of the modules that made it"),
    Rule("embedd*", "*parquet.sha256", "a table holds the digest of the artifact"),
    Rule("embedded file", "file.sha256", "a table holds the digest of the artifact"),
    Rule(
        "validation",
        "controls.9.max_abs_diff",
        "weights of another fold: the other fold is any model that was trained by then",
    ),
    Rule("summary", "models.*.artifacts.*.sha256", "an artifact holds the names of the modules that made it"),
)
"""What differs between any two runs of different code."""

SIMILAR = (("*bytes", 0.05),)
"""Fields that may differ by a share: the size of a file with names of modules in it."""

RECORDS = {
    "summary": "reports/summary.json",
    "template": "results/templates/*/*/template.json",
    "certificate": "results/templates/*/*/certificate.*.json",
    "training": "results/demo/**/training.json",
    "manifest": "results/**/manifest.json",
    "validation": "results/**/validation.*.json",
    "benchmark": "results/**/benchmark.*.json",
    "embedded file": "results/**/embeddings/parts/**/*.json",
    "embeddings": "results/**/embeddings/embeddings.json",
    "exploration": "results/**/exploration.json",
    "failure": "logs/failures/**/*.json",
    "reference": "results/**/reference.npz",
}
CODE = re.compile(r"(results/templates/[0-9a-f]{12}/[^/]+)-[0-9a-f]{8}\b")
"""The folder of a template ends with a digest of its options and its code."""


class Difference(NamedTuple):
    """One field of one record that is not the same in both runs."""

    record: str
    field: str
    path: str
    old: Any
    new: Any


def records_of(run: Path) -> dict[tuple[str, str], Path]:
    """Return the records of a run by kind and path; templates by what they are, since their folders name their code."""
    records: dict[tuple[str, str], Path] = {}
    for kind, pattern in RECORDS.items():
        for path in sorted(run.glob(pattern)):
            name = path.relative_to(run).as_posix()
            if kind == "template":
                facts = json.loads(path.read_text())
                name = " ".join([CODE.sub(r"\1", name), json.dumps(facts["options"], sort_keys=True)])
            records[kind, name] = path
    return records


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of a record, nested ones with dots in their names; an empty container is a value of its own."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield prefix, CODE.sub(r"\1", value) if isinstance(value, str) else value
        return
    for name, item in items:
        yield from flat(item, f"{prefix}.{name}" if prefix else str(name))


def read(path: Path) -> dict[str, Any]:
    """Return the fields of a record, or the arrays of a file of arrays."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    return dict(flat(json.loads(path.read_text())))


def same(field: str, old: Any, new: Any, rtol: float) -> bool:
    """Tell whether two values of a field are equal, as far as it must be."""
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        alike = old.shape == new.shape and old.dtype == new.dtype
        return alike and (old.tobytes() == new.tobytes() or (rtol > 0 and np.allclose(old, new, rtol, 0, True)))
    if type(old) is not type(new):
        return False
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        share = max((share for pattern, share in SIMILAR if fnmatchcase(field, pattern)), default=rtol)
        return old == new or abs(old - new) <= share * max(abs(old), abs(new)) or (old != old and new != new)
    return bool(old == new)


def differences(old: Path, new: Path, rtol: float = 0.0) -> Iterator[Difference]:
    """Yield every field that is not the same in two runs, whether it may differ or not."""
    before, after = records_of(old), records_of(new)
    for kind, name in sorted(before.keys() | after.keys()):
        if (kind, name) not in before or (kind, name) not in after:
            there = (kind, name) in before
            yield Difference(kind, "", name, "a record" if there else ABSENT, ABSENT if there else "a record")
            continue
        first, second = read(before[kind, name]), read(after[kind, name])
        for field in sorted(first.keys() | second.keys()):
            a, b = first.get(field, ABSENT), second.get(field, ABSENT)
            if not same(field, a, b, rtol):
                yield Difference(kind, field, name, a, b)


def rule_for(found: Difference, rules: tuple[Rule, ...]) -> Rule | None:
    """Return the first rule that lets a field differ."""
    matching = (r for r in rules if fnmatchcase(found.record, r.record) and fnmatchcase(found.field, r.field))
    return next(matching, None) if found.field else None


def text(value: Any) -> str:
    """Return a value for a line of text; of an array what it is like."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return value if len(value := str(value)) <= 100 else f"{value[:97]}…"


def main() -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rtol", type=float, default=0.0, help="let numbers differ by this share (default: 0)")
    parser.add_argument("--changed", action="append", default=[], metavar="RECORD:FIELD", help="what may differ")
    given = parser.parse_args()
    changed = tuple(Rule(*pattern.partition(":")[::2], "asked for") for pattern in given.changed)
    for run in (given.old, given.new):
        if not (run / "results").is_dir():
            print(f"error: {run} has no results; run `snakemake` there", file=sys.stderr)
            return 2
    by_field: dict[tuple[str, str], list[Difference]] = defaultdict(list)
    declared: dict[Rule, int] = dict.fromkeys(changed, 0)
    ignored = 0
    for found in differences(given.old, given.new, given.rtol):
        if rule_for(found, IGNORED):
            ignored += 1
        elif rule := rule_for(found, changed):
            declared[rule] += 1
        else:
            by_field[found.record, re.sub(r"\.\d+(?=\.|$)", ".*", found.field)].append(found)
    kinds = [kind for kind, _ in records_of(given.old)]
    print("records: " + ", ".join(f"{kinds.count(kind)} {kind}" for kind in RECORDS if kind in kinds))
    print(f"{ignored} fields differ as between any two runs: times, environment, digests")
    for rule, count in declared.items():
        print(f"{count} fields differ as asked for: {rule.record}:{rule.field}")
    for (kind, field), found in by_field.items():
        print(f"\n{kind}: {field or 'whole record'}: {len(found)} differences")
        for one in found[:SHOWN]:
            print(f"  {one.path}: {one.field}: {text(one.old)} → {text(one.new)}")
    count = sum(map(len, by_field.values()))
    print(f"\n{count} differences" if count else "\nequal")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
