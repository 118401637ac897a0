"""What every runtime promises."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from modelferry.core.contract import Arrays
from modelferry.core.errors import ArtifactError, ContractError
from modelferry.formats import Format, Runner, load_format
from modelferry.runtimes import Runtime, load_runtime
from modelferry.testing.formats import outside
from modelferry.testing.sample_network import AWKWARD, Sample


class RuntimeConformance:
    """Inherit and name your runtime, and a format whose artifacts it executes."""

    runtime: ClassVar[str] = ""
    """Name of the runtime, or its import path ``package.module:Class``."""
    format: ClassVar[str] = "torchscript"
    sample: ClassVar[Sample] = AWKWARD
    rtol: ClassVar[float] = 1e-5
    atol: ClassVar[float] = 1e-5

    @pytest.fixture(scope="module")
    @classmethod
    def target(cls) -> Format:
        """Return the format of the artifacts."""
        return load_format(cls.format)

    @pytest.fixture(scope="module")
    @classmethod
    def executes(cls) -> Runtime:
        """Return the runtime; skip where this machine lacks it."""
        runtime = load_runtime(cls.runtime)
        if missing := runtime.unavailable():
            pytest.skip(missing)
        return runtime

    @pytest.fixture(scope="module")
    @classmethod
    def template(cls, target: Format, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return a template of the sample network."""
        out = tmp_path_factory.mktemp(target.name) / f"template.{target.extension}"
        sample, options = cls.sample, target.resolve_options({})
        target.build_template(sample.network().eval(), sample.contract, sample.example, options, out)
        return out

    @pytest.fixture(scope="module")
    @classmethod
    def artifacts(cls, target: Format, template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
        """Return two artifacts of the sample network, with different weights."""
        folder = tmp_path_factory.mktemp(f"{target.name}-artifacts")
        paths = [folder / f"model-{seed}.{target.extension}" for seed in (1, 2)]
        for seed, path in enumerate(paths, 1):
            target.fill(template, cls.sample.weights(seed), {"model": path.name}, path)
        return paths

    @pytest.fixture(scope="module")
    @classmethod
    def runners(cls, executes: Runtime, target: Format, artifacts: list[Path]) -> list[Runner]:
        """Return the artifacts, loaded."""
        return [executes.load(target, path, threads=1) for path in artifacts]

    def equal(self, outputs: Arrays, expected: Arrays) -> bool:
        """Return whether outputs have the same names and, within tolerance, the same values."""
        return list(outputs) == list(expected) and all(
            np.allclose(values, expected[name], rtol=self.rtol, atol=self.atol) for name, values in outputs.items()
        )

    def test_facts_are_stated(self, executes: Runtime) -> None:
        """The name makes file names."""
        assert executes.name.partition("@")[0].isidentifier()
        assert all(isinstance(file, str) for file in executes.files())

    def test_what_is_loaded_is_a_runner_with_its_contract(self, runners: list[Runner]) -> None:
        """Memory is that of the runner's own process, or nothing."""
        assert all(isinstance(run, Runner) for run in runners)
        assert all(run.contract == self.sample.contract for run in runners)
        runners[0](self.sample.example)
        peak = runners[0].peak_memory_mb()
        assert peak is None or peak > 1

    def test_outputs_equal_those_of_the_network(self, runners: list[Runner]) -> None:
        """At all calls, and with two artifacts loaded, called in turn."""
        for label, inputs in self.sample.calls.items():
            for seed, run in enumerate(runners, 1):
                assert self.equal(run(inputs), self.sample.eager(self.sample.weights(seed), inputs)), label

    def test_inputs_outside_the_contract_are_rejected_and_it_goes_on(self, runners: list[Runner]) -> None:
        """A mistake in one call does not harm the next one."""
        before = runners[0](self.sample.example)
        for label, inputs in outside(self.sample.contract, self.sample.example):
            with pytest.raises(ContractError):
                pytest.fail(f"{label} is accepted: {runners[0](inputs)}")
        assert self.equal(runners[0](self.sample.example), before)

    def test_damaged_file_is_refused(self, executes: Runtime, target: Format, tmp_path: Path) -> None:
        """A file that is not an artifact does not load."""
        path = tmp_path / f"model.{target.extension}"
        path.write_bytes(b"garbage" * 1000)
        with pytest.raises(ArtifactError):
            executes.load(target, path, threads=1)

    def test_calls_are_timed(self, executes: Runtime, runners: list[Runner]) -> None:
        """In seconds of the runtime, with the outputs of the call."""
        outputs, seconds = executes.timed(runners[0], self.sample.example)
        assert self.equal(outputs, runners[0](self.sample.example))
        assert 0 < seconds < 60

    def test_cold_start_is_measured_if_the_runtime_has_processes_of_its_own(
        self, executes: Runtime, artifacts: list[Path]
    ) -> None:
        """Times and memory are positive."""
        cold = executes.cold_start(artifacts[0], 1, self.sample.example)
        assert cold is None or min(cold.load_ms, cold.first_call_ms, cold.peak_memory_mb) > 0
