"""What every family promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from modelferry.core.contract import Arrays, Contract
from modelferry.families import Family, load_family

SIZES = (1, 2, 3, 4, 5, 6, 9, 17)
LARGEST = 10**9


class FamilyConformance:
    """Inherit and name your family, with the hyperparameters of a small network."""

    family: ClassVar[str] = ""
    """Name of the family, or its import path ``package.module:Class``."""
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    """What is not the family's default."""
    atol: ClassVar[float] = 5e-6
    """Largest difference of outputs of the deployable from the reference's, both in float32."""

    @pytest.fixture(scope="module")
    @classmethod
    def known(cls) -> dict[str, Any]:
        """Return all hyperparameters."""
        return load_family(cls.family).resolve(cls.hyperparameters, {})

    @pytest.fixture(scope="module")
    @classmethod
    def made(cls, known: dict[str, Any]) -> Family:
        """Return the family as the hyperparameters make it."""
        return load_family(cls.family).configured(known)

    @pytest.fixture(scope="module")
    @classmethod
    def reference(cls, made: Family, known: dict[str, Any]) -> torch.nn.Module:
        """Return a reference whose weights and statistics are not trivial."""
        torch.manual_seed(3)
        network = made.reference(known).eval()
        generator = torch.Generator().manual_seed(3)
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and tensor.dim() == 1:
                noise = torch.rand(tensor.shape, generator=generator) * 0.4 - 0.2
                tensor.add_(noise.abs() if name.endswith("var") else noise)
        return network

    def deployables(
        self, made: Family, known: dict[str, Any], reference: torch.nn.Module
    ) -> Iterator[tuple[str, Contract, torch.nn.Module]]:
        """Yield the deployable of each layout, with the reference's weights; they must fit strictly."""
        for layout in made.layouts:
            network = made.deployable(known, layout).eval()
            network.load_state_dict(dict(made.convert(reference.state_dict(), known, layout)), strict=True)
            yield layout, made.contract(known, layout), network

    def sizes(self, family: Family, contract: Contract) -> list[dict[str, int]]:
        """Return sizes of an event that the contract allows, smallest first; one empty choice if all are alike."""
        varying = [contract.dimension(name) for name in family.sampled if name != family.batch]
        choices = [
            {one.name: min(max(size, one.minimum), one.maximum) for one in varying} for size in (*SIZES, LARGEST)
        ]
        return [choice for number, choice in enumerate(choices) if choice not in choices[:number]]

    def events(self, family: Family, count: int, sizes: Mapping[str, int], seed: int = 0) -> list[Arrays]:
        """Return synthetic events."""
        return family.sample({family.batch: count, **sizes}, seed)

    def call(self, network: torch.nn.Module, inputs: Arrays, contract: Contract) -> np.ndarray:
        """Return all outputs of an event beside each other."""
        with torch.inference_mode():
            result = network(*(torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs))
        joined: np.ndarray = torch.cat(result if isinstance(result, tuple) else (result,), dim=-1).numpy()
        return joined

    def test_layouts_are_stated(self, made: Family, known: dict[str, Any]) -> None:
        """The reference's layout is one of them, and contracts say of which layout they are."""
        assert made.reference_layout in made.layouts
        for layout in made.layouts:
            contract = made.contract(known, layout)
            assert contract.layout == layout
            assert set(made.sampled) <= {dimension.name for dimension in contract.dimensions}

    def test_samples_are_within_the_contract(self, made: Family, known: dict[str, Any]) -> None:
        """So are special events, and one call may hold one or several."""
        for layout in made.layouts:
            contract = made.contract(known, layout)
            for sizes in self.sizes(made, contract):
                for count in (1, 2, 5):
                    contract.check(made.collate(self.events(made, count, sizes), layout))
            for events in made.special(1).values():
                contract.check(made.collate(events, layout))

    def test_samples_follow_from_the_seed(self, made: Family, known: dict[str, Any]) -> None:
        """The same seed gives the same events, another one others."""
        sizes = self.sizes(made, made.contract(known, made.layouts[0]))[-1]
        first, again, other = (
            [array.tobytes() for event in self.events(made, 4, sizes, seed) for array in event.values()]
            for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_deployable_equals_reference_at_every_size(
        self, made: Family, known: dict[str, Any], reference: torch.nn.Module
    ) -> None:
        """In each layout, alone and with others."""
        own = made.contract(known, made.reference_layout)
        for layout, contract, network in self.deployables(made, known, reference):
            for sizes in self.sizes(made, contract):
                for count in (1, 2, 7):
                    events = self.events(made, count, sizes, seed=count)
                    expected = self.call(reference, made.collate(events, made.reference_layout), own)
                    outputs = self.call(network, made.collate(events, layout), contract)
                    assert outputs.shape == expected.shape == (count, *expected.shape[1:])
                    assert np.abs(outputs - expected).max() < self.atol, (layout, sizes, count)

    def test_output_of_an_event_does_not_depend_on_its_batch_mates(
        self, made: Family, known: dict[str, Any], reference: torch.nn.Module
    ) -> None:
        """Events of all sizes in one call give what each gives alone."""
        for layout, contract, network in self.deployables(made, known, reference):
            choices = self.sizes(made, contract)
            events = [self.events(made, 1, sizes, seed)[0] for seed, sizes in enumerate(choices)]
            together = self.call(network, made.collate(events, layout), contract)
            for event, row in zip(events, together, strict=True):
                alone = self.call(network, made.collate([event], layout), contract)
                assert np.abs(alone - row).max() < self.atol, layout

    def test_outputs_depend_on_the_inputs(
        self, made: Family, known: dict[str, Any], reference: torch.nn.Module
    ) -> None:
        """A network that says the same of all events shows nothing in a comparison."""
        for layout, contract, network in self.deployables(made, known, reference):
            events = self.events(made, 7, self.sizes(made, contract)[-1])
            assert np.ptp(self.call(network, made.collate(events, layout), contract), axis=0).max() > 0, layout

    def test_outputs_match_the_contract(self, made: Family, known: dict[str, Any], reference: torch.nn.Module) -> None:
        """Types, widths, and a name for each class or for none."""
        for layout, contract, network in self.deployables(made, known, reference):
            events = self.events(made, 3, self.sizes(made, contract)[-1])
            outputs = self.call(network, made.collate(events, layout), contract)
            assert {output.dtype for output in contract.outputs} == {str(outputs.dtype)}
            assert outputs.shape == (3, sum(int(output.shape[-1]) for output in contract.outputs))
            assert len(contract.classes) in (0, contract.outputs[0].shape[-1])

    def test_shapes_tell_hyperparameters_and_foreign_shapes_nothing(
        self, made: Family, known: dict[str, Any], reference: torch.nn.Module
    ) -> None:
        """What is read off a checkpoint agrees with what made it."""
        shapes = {key: tuple(value.shape) for key, value in reference.state_dict().items()}
        assert made.infer(shapes).items() <= known.items()
        assert made.infer({"some.layer.weight": (3, 4)}) == {}
        assert made.infer({}) == {}
