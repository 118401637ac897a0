"""Templates of the small network in every format, each built once for all tests and test processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock

from formats_samples import CONTRACT, Awkward, event_inputs
from modelferry.formats import load_format

TemplateOf = Callable[[str], Path]


@pytest.fixture(scope="session")
def template_of(tmp_path_factory: pytest.TempPathFactory) -> TemplateOf:
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def build(name: str) -> Path:
        target = load_format(name)
        for package in target.packages:
            if find_spec(package) is None:
                pytest.skip(f"{package} is not installed")
        if missing := target.unavailable():
            pytest.skip(missing)
        path = root / f"template-{name}.{target.extension}"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                part = path.with_name(f"part-{path.name}")
                example = event_inputs(*[9] * 8)
                target.build_template(Awkward().eval(), CONTRACT, example, target.resolve_options({}), part)
                part.replace(path)
        return path

    return build
