"""`sbom.cdx.json`: the Python packages that a release was made with, as CycloneDX 1.6 lists components.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from operator import itemgetter
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PRODUCT = "modelferry"
FOR_DEVELOPERS = frozenset({"dev", "docs", "browser", "dist"})
"""Extras that make neither artifacts nor records."""
LICENCE = "License :: "


def bill_of_materials() -> str:
    """Return the JSON text; the same in the same environment."""
    extras = {*distribution(PRODUCT).metadata.get_all("Provides-Extra", ())} - FOR_DEVELOPERS
    product, *others = [_component(found) for found in needed(PRODUCT, sorted(extras))]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**product, "type": "application"}},
        "components": sorted(others, key=itemgetter("bom-ref")),
    }
    return json.dumps(bill, indent=1) + "\n"


def needed(name: str, extras: Sequence[str] = ()) -> Iterator[Distribution]:
    """Yield a package and all that it needs, directly or not, as far as it is installed; each one once."""
    seen: set[tuple[str, str]] = set()
    yielded: set[str] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        package, extra = waiting.pop(0)
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        try:
            found = distribution(package)
        except PackageNotFoundError:  # an extra that is not installed
            continue
        if package not in yielded:
            yielded.add(package)
            yield found
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(requirement.name), one) for one in ("", *sorted(requirement.extras))]


def _component(found: Distribution) -> dict[str, Any]:
    name = canonicalize_name(found.name)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{found.version}",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{found.version.replace('+', '%2B')}",
    }
    facts = found.metadata.json
    if expression := facts.get("license_expression"):
        component["licenses"] = [{"expression": expression}]
    elif licence := _licence(facts):
        component["licenses"] = [{"license": {"name": licence}}]
    return component


def _licence(facts: Mapping[str, Any]) -> str:
    """Return the licence as the older fields of a package name it; some hold its whole text instead."""
    classifiers = [c.rpartition(" :: ")[2] for c in facts.get("classifier", ()) if c.startswith(LICENCE)]
    return ", ".join(classifiers) or facts.get("license", "").strip().partition("\n")[0]
