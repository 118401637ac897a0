"""Templates of the small network in every format, each built once for all tests and test processes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from made_once import made_once
from modelferry.formats import load_format
from modelferry.testing.sample_network import AWKWARD, CONTRACT, Awkward, random_weights

TemplateOf = Callable[[str], Path]


@pytest.fixture(scope="session")
def template_of(tmp_path_factory: pytest.TempPathFactory) -> TemplateOf:
    def build(name: str) -> Path:
        target = load_format(name)
        for package in target.packages:
            if find_spec(package) is None:
                pytest.skip(f"{package} is not installed")
        if missing := target.unavailable():
            pytest.skip(missing)
        file = f"template-{name}.{target.extension}"

        def make(folder: Path) -> None:
            network, weights = Awkward(), random_weights(1)
            network.load_state_dict(weights)
            target.build_template(network.eval(), CONTRACT, AWKWARD.example, target.resolve_options({}), folder / file)
            for weight, tensor in network.state_dict().items():
                assert torch.equal(tensor, weights[weight]), f"format {name} changes '{weight}' of a deployable"

        return made_once(tmp_path_factory, f"template-{name}", make) / file

    return build
