"""What every exact format promises."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, ContractError
from modelferry.formats import Format, Runner, load_format
from modelferry.formats.shared.weight_readback import altered
from modelferry.testing.sample_network import AWKWARD, Sample

SEEDS = (1, 2)
LAYOUTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "by columns": np.asfortranarray,
    "backwards": lambda array: np.ascontiguousarray(array[..., ::-1])[..., ::-1],
    "with gaps": lambda array: np.repeat(array, 2, axis=0)[::2],
}
"""How else the same array may lie in memory."""


class FormatConformance:
    """Inherit and name your format. A format that is not `general` also gives a `sample` that it can hold."""

    format: ClassVar[str] = ""
    """Name of the format, or its import path ``package.module:Class``."""
    options: ClassVar[Mapping[str, Any]] = {}
    sample: ClassVar[Sample] = AWKWARD
    rtol: ClassVar[float] = 1e-5
    atol: ClassVar[float] = 1e-5
    """Outputs of the sample are sums of terms of order 1 to 10, each rounded some ten times, in any order."""

    @pytest.fixture(scope="module")
    @classmethod
    def target(cls) -> Format:
        """Return the format; skip where this machine lacks what it needs."""
        target = load_format(cls.format)
        if missing := target.unavailable():
            pytest.skip(missing)
        return target

    @pytest.fixture(scope="module")
    @classmethod
    def template(cls, target: Format, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return a template of the sample network."""
        out = tmp_path_factory.mktemp(target.name) / f"template.{target.extension}"
        cls.build(target, out)
        return out

    @pytest.fixture(scope="module")
    @classmethod
    def runners(cls, target: Format, template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Runner]:
        """Return artifacts with the weights of each seed, loaded."""
        folder = tmp_path_factory.mktemp(f"{target.name}-runners")
        paths = {s: cls.fill(target, template, cls.sample.weights(s), folder, f"model-{s}") for s in SEEDS}
        return {seed: target.load(path, threads=1) for seed, path in paths.items()}

    @classmethod
    def build(cls, target: Format, out: Path, network: torch.nn.Module | None = None) -> None:
        """Build a template of the sample network."""
        deployable = (network or cls.sample.network()).eval()
        options = target.resolve_options(cls.options)
        target.build_template(deployable, cls.sample.contract, cls.sample.example, options, out)

    @classmethod
    def fill(
        cls, target: Format, template: Path, weights: Mapping[str, torch.Tensor], folder: Path, name: str = "model"
    ) -> Path:
        """Fill a template and return the artifact's main file."""
        out = folder / f"{name}.{target.extension}"
        target.fill(template, weights, {"model": "campaign/fold-3"}, out)
        return out

    def same(self, target: Format, first: Path, second: Path) -> bool:
        """Return whether artifacts are equal: in their bytes, or else in their sizes and all bits of their outputs."""
        pairs = list(zip(target.files(first), target.files(second), strict=True))
        if target.reproducible:
            return all(one.read_bytes() == other.read_bytes() for one, other in pairs)
        runs = [target.load(path, threads=1)(self.sample.example) for path in (first, second)]
        sizes = all(one.stat().st_size == other.stat().st_size for one, other in pairs)
        return sizes and all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])

    def equal(self, target: Format, outputs: Arrays, expected: Arrays) -> bool:
        """Return whether outputs are those of the deployable: bit by bit, if the format says so."""
        bitwise = target.is_bitwise(target.resolve_options(self.options))
        return list(outputs) == list(expected) and all(
            np.array_equal(values, expected[name])
            if bitwise
            else np.allclose(values, expected[name], rtol=self.rtol, atol=self.atol)
            for name, values in outputs.items()
        )

    def distance(self, first: Arrays, second: Arrays) -> float:
        """Return the largest difference of outputs."""
        return max(float(np.abs(first[name] - second[name]).max(initial=0)) for name in first)

    def floating(self) -> list[str]:
        """Return the names of all weights of floating point."""
        return [name for name, tensor in self.sample.weights(1).items() if tensor.is_floating_point()]

    def read(self) -> list[str]:
        """Return the names of the weights that the graph reads: all but counters."""
        return [name for name, tensor in self.sample.weights(1).items() if tensor.is_floating_point() or tensor.dim()]

    def test_facts_are_stated(self, target: Format) -> None:
        """Names make file names, and there is a default for each option."""
        assert target.name.isidentifier()
        assert target.runtimes
        assert not any(extension.startswith(".") for extension in (target.extension, *target.companions))
        assert target.resolve_options({}) == {option: values[0] for option, values in target.options.items()}

    def test_filled_template_equals_its_deployable(self, target: Format, runners: dict[int, Runner]) -> None:
        """At all calls of the sample, with different weights."""
        for seed, run in runners.items():
            for label, inputs in self.sample.calls.items():
                expected = self.sample.eager(self.sample.weights(seed), inputs)
                assert self.equal(target, run(inputs), expected), f"{label}, weights {seed}"

    def test_what_is_loaded_is_a_runner_with_its_contract(self, target: Format, runners: dict[int, Runner]) -> None:
        """The contract is that of the template, and outputs have its types, or what the format says."""
        assert isinstance(runners[1], Runner)
        assert runners[1].contract == self.sample.contract
        outputs = runners[1](self.sample.example)
        dtypes = [target.output_dtype or tensor.dtype for tensor in self.sample.contract.outputs]
        assert [str(values.dtype) for values in outputs.values()] == dtypes

    def test_filled_templates_differ_from_one_another(self, runners: dict[int, Runner]) -> None:
        """One template serves several models, and two loaded artifacts do not mix."""
        assert self.distance(runners[1](self.sample.example), runners[2](self.sample.example)) > 1e-3

    def test_each_weight_reaches_the_output(self, target: Format, template: Path, tmp_path: Path) -> None:
        """Each changed alone, it changes the outputs as it does in eager mode."""
        weights, inputs = self.sample.weights(1), self.sample.example
        before = self.sample.eager(weights, inputs)
        for number, name in enumerate(self.read()):
            tensor = weights[name]
            changed = {**weights, name: tensor + 0.5 if tensor.is_floating_point() else tensor.roll(1)}
            expected = self.sample.eager(changed, inputs)
            after = target.load(self.fill(target, template, changed, tmp_path, f"m{number}"), threads=1)(inputs)
            assert self.equal(target, after, expected), f"'{name}' is misplaced"
            assert self.distance(after, before) > 1e-6, f"'{name}' has no effect"

    def test_building_a_template_leaves_the_deployable_alone(self, target: Format, tmp_path: Path) -> None:
        """The caller's network keeps its weights."""
        network, weights = self.sample.network(), self.sample.weights(1)
        network.load_state_dict(weights)
        self.build(target, tmp_path / f"again.{target.extension}", network)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())

    def test_filling_twice_gives_the_same_files(self, target: Format, template: Path, tmp_path: Path) -> None:
        """And other weights give others; only the files that the format names are written."""
        folders = [tmp_path / name for name in ("first", "second", "other")]
        for folder in folders:
            folder.mkdir()
        first, second, other = (
            self.fill(target, template, self.sample.weights(seed), folder)
            for seed, folder in zip((1, 1, 2), folders, strict=True)
        )
        assert self.same(target, first, second)
        assert not self.same(target, first, other)
        assert sorted(folders[0].iterdir()) == sorted(target.files(first))

    def test_weights_may_lie_in_memory_as_they_like(self, target: Format, template: Path, tmp_path: Path) -> None:
        """Rows or columns first: the values count."""
        weights = self.sample.weights(1)
        turned = {
            name: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for name, tensor in weights.items()
        }
        first = self.fill(target, template, weights, tmp_path, "a")
        assert self.same(target, first, self.fill(target, template, turned, tmp_path, "b"))

    def test_weights_that_do_not_fit_are_refused_by_name(self, target: Format, template: Path, tmp_path: Path) -> None:
        """Forgotten, unknown, of another shape, of another type."""
        weights = self.sample.weights(1)
        with pytest.raises(ArtifactError, match=r"not\.there"):
            self.fill(target, template, {**weights, "not.there": torch.ones(2)}, tmp_path)
        for name in self.floating():
            for wrong in (None, torch.ones(3, 5, 7), weights[name].double()):
                given = {other: tensor for other, tensor in weights.items() if other != name}
                with pytest.raises(ArtifactError, match=name):
                    self.fill(target, template, given if wrong is None else {**given, name: wrong}, tmp_path)

    @pytest.mark.parametrize("content", [None, b"", b"no" * 5000, b"PK\x03\x04" + bytes(500)], ids=repr)
    def test_file_of_something_else_is_refused(
        self, target: Format, template: Path, tmp_path: Path, content: bytes | None
    ) -> None:
        """Missing, empty, text, the beginning of an archive: each file of the artifact in turn."""
        for number, broken in enumerate(target.files(Path(f"model.{target.extension}"))):
            folder = tmp_path / str(number)
            folder.mkdir()
            path = self.fill(target, template, self.sample.weights(1), folder)
            (folder / broken).unlink() if content is None else (folder / broken).write_bytes(content)
            with pytest.raises(ArtifactError, match=f"{re.escape(path.name)}|{re.escape(str(broken))}"):
                target.load(path, threads=1)

    def test_truncated_file_is_refused(self, target: Format, template: Path, tmp_path: Path) -> None:
        """Half of the main file is not an artifact."""
        path = self.fill(target, template, self.sample.weights(1), tmp_path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ArtifactError, match=path.name):
            target.load(path, threads=1)

    def test_inputs_outside_the_contract_are_rejected(self, runners: dict[int, Runner]) -> None:
        """Compiled code would read past their ends."""
        for label, inputs in outside(self.sample.contract, self.sample.example):
            with pytest.raises(ContractError):
                pytest.fail(f"{label} is accepted: {runners[1](inputs)}")

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_inputs_may_lie_in_memory_as_they_like(self, runners: dict[int, Runner], layout: str) -> None:
        """Compiled code takes rows for granted: it silently gave another event's outputs."""
        inputs = self.sample.example
        laid = {name: LAYOUTS[layout](array) for name, array in inputs.items()}
        assert self.distance(runners[1](laid), runners[1](inputs)) == 0

    def test_weights_are_read_back_bit_by_bit(self, target: Format, template: Path, tmp_path: Path) -> None:
        """And one flipped bit is seen, in its tensor."""
        weights, name = self.sample.weights(1), self.floating()[-1]
        if not target.keeps_weights:
            assert target.read_weights(self.fill(target, template, weights, tmp_path)) == {}
            return
        inside = target.read_weights(self.fill(target, template, weights, tmp_path))
        assert set(self.read()) <= inside.keys() <= weights.keys()
        assert altered(inside, weights) == []
        flipped = weights[name].clone()
        flipped.view(-1)[-1:].view(torch.uint8)[0] ^= 1
        inside = target.read_weights(self.fill(target, template, {**weights, name: flipped}, tmp_path))
        assert [change.name for change in altered(inside, weights)] == [name]


def outside(contract: Contract, inputs: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yield inputs that break a contract, by what is wrong."""
    for tensor in contract.inputs:
        array = inputs[tensor.name]
        other = np.float64 if array.dtype != np.float64 else np.float32
        yield f"'{tensor.name}' missing", {name: value for name, value in inputs.items() if name != tensor.name}
        yield f"'{tensor.name}' of another type", {**inputs, tensor.name: array.astype(other)}
        yield f"'{tensor.name}' with one axis more", {**inputs, tensor.name: array[..., None]}
        for axis, size in enumerate(tensor.shape):
            if not isinstance(size, str):
                longer = np.concatenate([array, array.take([0], axis)], axis)
                yield f"'{tensor.name}' too long along axis {axis}", {**inputs, tensor.name: longer}
