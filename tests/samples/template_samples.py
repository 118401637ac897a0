"""Templates of the small network in every format, each built once for all tests and test processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from modelferry.formats import load_format
from modelferry.testing.sample_network import AWKWARD, CONTRACT, Awkward, random_weights

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
                network, weights = Awkward(), random_weights(1)
                network.load_state_dict(weights)
                options = target.resolve_options({})
                target.build_template(network.eval(), CONTRACT, AWKWARD.example, options, part)
                for weight, tensor in network.state_dict().items():
                    assert torch.equal(tensor, weights[weight]), f"format {name} changes '{weight}' of a deployable"
                part.replace(path)
        return path

    return build
