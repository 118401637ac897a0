"""What every family promises; a new one is in here by being registered."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import family_samples
from family_samples import SMALL
from modelferry.core.contract import Arrays, Contract
from modelferry.demo import demo_for
from modelferry.families import Family, family_names, load_family
from modelferry.formats import format_names, load_format

SIZES = (1, 2, 3, 4, 5, 6, 9, 17)


@pytest.fixture(params=family_names())
def family(request: pytest.FixtureRequest) -> Family:
    return SMALL[request.param]


@pytest.fixture(
    params=[(name, layout) for name in family_names() for layout in load_family(name).layouts], ids="/".join
)
def case(request: pytest.FixtureRequest) -> tuple[Family, str]:
    return SMALL[request.param[0]], request.param[1]


def seeded(family: Family, seed: int = 3) -> torch.nn.Module:
    """Return a reference whose weights and statistics are not trivial."""
    torch.manual_seed(seed)
    network = family.reference(family.hyperparameters).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            noise = torch.rand(tensor.shape, generator=generator) * 0.4 - 0.2
            tensor.add_(noise.abs() if name.endswith("var") else noise)
    return network


def events_of(family: Family, contract: Contract, count: int, size: int | None, seed: int = 0) -> list[Arrays]:
    return family.sample(family.call_sizes(contract, count, size), seed)


def call(network: torch.nn.Module, inputs: Arrays, contract: Contract) -> np.ndarray:
    """Return all outputs of an event beside each other."""
    with torch.inference_mode():
        found = network(*(torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs))
    return torch.cat(found if isinstance(found, tuple) else (found,), dim=-1).numpy()


def allowed(family: Family, contract: Contract) -> list[int | None]:
    if not family.sizes:
        return [None]
    dimension = contract.dimension(family.sizes[0])
    return [size for size in (*SIZES, dimension.maximum) if dimension.minimum <= size <= dimension.maximum]


def test_module_is_named_like_its_family(family: Family) -> None:
    assert family.name in family_names()
    assert family.reference_layout in family.layouts


def test_samples_are_within_the_contract(case: tuple[Family, str]) -> None:
    family, layout = case
    contract = family.contract(family.hyperparameters, layout)
    assert contract.layout == layout
    for size in allowed(family, contract):
        for count in (1, 2, 5):
            contract.check(family.collate(events_of(family, contract, count, size), layout))
    for events in family.special(1).values():
        contract.check(family.collate(events, layout))


def test_samples_follow_from_the_seed(family: Family) -> None:
    contract = family.contract(family.hyperparameters, family.layouts[0])
    size = allowed(family, contract)[-1]

    def flat(seed: int) -> list[bytes]:
        return [array.tobytes() for event in events_of(family, contract, 4, size, seed) for array in event.values()]

    assert flat(1) == flat(1) != flat(2)


def test_deployable_equals_reference_at_every_size(case: tuple[Family, str]) -> None:
    family, layout = case
    contract = family.contract(family.hyperparameters, layout)
    own = family.contract(family.hyperparameters, family.reference_layout)
    reference = seeded(family)
    deployable = family.deployable(family.hyperparameters, layout).eval()
    weights = family.convert(reference.state_dict(), family.hyperparameters, layout)
    deployable.load_state_dict(dict(weights), strict=True)
    for size in allowed(family, contract):
        for count in (1, 2, 7):
            events = events_of(family, contract, count, size, seed=count)
            truth = call(reference, family.collate(events, family.reference_layout), own)
            found = call(deployable, family.collate(events, layout), contract)
            assert found.shape == truth.shape == (count, *truth.shape[1:])
            assert np.abs(found - truth).max() < 5e-6, (size, count)


def test_output_of_an_event_does_not_depend_on_its_batch_mates(case: tuple[Family, str]) -> None:
    family, layout = case
    contract = family.contract(family.hyperparameters, layout)
    deployable = family.deployable(family.hyperparameters, layout).eval()
    deployable.load_state_dict(dict(family.convert(seeded(family).state_dict(), family.hyperparameters, layout)))
    events = [events_of(family, contract, 1, size, seed=size or 0)[0] for size in allowed(family, contract)]
    together = call(deployable, family.collate(events, layout), contract)
    for event, row in zip(events, together, strict=True):
        assert np.abs(call(deployable, family.collate([event], layout), contract) - row).max() < 5e-6


def test_shapes_tell_the_hyperparameters_and_foreign_shapes_nothing(family: Family) -> None:
    shapes = {key: tuple(value.shape) for key, value in family.reference(family.hyperparameters).state_dict().items()}
    inferred = family.infer(shapes)
    assert inferred.items() <= dict(family.hyperparameters).items()
    assert family.infer({"some.layer.weight": (3, 4)}) == {}
    assert family.infer({}) == {}


def test_outputs_match_the_contract(case: tuple[Family, str]) -> None:
    family, layout = case
    contract = family.contract(family.hyperparameters, layout)
    network = family.deployable(family.hyperparameters, layout).eval()
    size = allowed(family, contract)[-1]
    found = call(network, family.collate(events_of(family, contract, 3, size), layout), contract)
    assert {output.dtype for output in contract.outputs} == {str(found.dtype)}
    assert found.shape == (3, sum(int(output.shape[-1]) for output in contract.outputs))
    assert len(contract.classes) in (0, contract.outputs[0].shape[-1])


def test_demo_makes_what_the_family_reads(family: Family) -> None:
    demo = demo_for(family.name)
    assert demo is None or demo.members


def test_reading_families_formats_and_config_imports_no_torch() -> None:
    """Snakemake reads them at every start."""
    code = (
        "import sys, json\n"
        "from modelferry.families import family_names, load_family\n"
        "from modelferry.formats import format_names, load_format\n"
        "from modelferry.demo import demo_for\n"
        "from modelferry import cli, plan\nfrom modelferry.checkpoints import shapes\n"
        "from modelferry.plan import start\n"
        "from family_samples import SMALL\n"
        "for name in family_names():\n"
        "    family = SMALL[name]\n"
        "    [family.contract(family.hyperparameters, layout) for layout in family.layouts]\n"
        "    demo_for(name)\n"
        "[load_format(name) for name in format_names()]\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))\n"
    )
    folder = Path(family_samples.__file__).parent
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "lightning",
        "timm",
        "executorch",
        "torch_geometric",
        "sklearn",
        "scipy",
        "matplotlib",
        "pandas",
        "onnx",
        "onnxruntime",
    }
    assert not heavy & set(json.loads(found.stdout))


@pytest.mark.parametrize("name", format_names())
def test_format_is_named_like_its_module_and_has_defaults(name: str) -> None:
    target = load_format(name)
    assert target.name == name
    assert target.runtimes
    assert not target.extension.startswith(".")
    assert target.resolve_options({}) == {option: values[0] for option, values in target.options.items()}


OWN = """
from modelferry.families.charged_higgs_particlenet.family import ChargedHiggsParticleNet

class MyFamily(ChargedHiggsParticleNet):
    name = "mine"

class NoFamily:
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "my_taggers_for_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    load_family.cache_clear()
    yield "my_taggers_for_test"
    sys.modules.pop("my_taggers_for_test", None)
    load_family.cache_clear()


def test_family_of_ones_own_is_loaded_from_the_folder_one_is_in(own: str) -> None:
    assert load_family(f"{own}:MyFamily").name == "mine"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (":MyFamly", "did you mean 'MyFamily'"),
        (":NoFamily", "is not a modelferry.families.Family"),
        ("x:A", "No module named"),
    ],
)
def test_family_of_ones_own_that_cannot_be_loaded_is_named(own: str, name: str, wanted: str) -> None:
    from modelferry.core.errors import ConfigError

    with pytest.raises(ConfigError, match=wanted):
        load_family(own + name)
