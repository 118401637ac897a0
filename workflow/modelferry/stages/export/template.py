"""Building a template: an architecture compiled to a format, once, with its weights left blank."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core.contract import Contract
from modelferry.core.environment import describe
from modelferry.core.files import replacing
from modelferry.core.long_work import long_work
from modelferry.families import load_family
from modelferry.families.transforms import APPROXIMATIONS
from modelferry.formats import load_format
from modelferry.records import ArtifactFacts
from modelferry.records.export import Template

if TYPE_CHECKING:
    from modelferry.plan.templates import TemplateSpec

EXAMPLE_SEED = 20


def build_template(spec: TemplateSpec) -> Template:
    """Compile `spec` to its place below ``results/templates`` and return the record written beside it."""
    started = time.perf_counter()
    family, target = load_family(spec.family).configured(spec.hyperparameters), load_format(spec.format)
    own = with_approximations(family.contract(spec.hyperparameters, spec.layout), spec.transforms)
    contract = target.contract(own)
    deployable = target.delivered(family.rewritten(spec.hyperparameters, spec.layout, spec.transforms).eval(), own)
    example = family.inputs_of(family.sample(family.call_sizes(contract), EXAMPLE_SEED), contract)
    out = Path(spec.file)
    with replacing(*target.files(out)) as temporary, long_work(f"building a template of {spec.format}"):
        target.build_template(deployable, contract, example, spec.options, temporary)
    record = Template(
        architecture=spec.architecture,
        family=spec.family,
        hyperparameters=spec.hyperparameters,
        format=spec.format,
        layout=spec.layout,
        options=spec.options,
        transforms=tuple(sorted(spec.transforms)),
        contract=contract,
        file=ArtifactFacts.of(target.files(out)),
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )
    record.write(spec.record)
    return record


def with_approximations(contract: Contract, transforms: frozenset[str]) -> Contract:
    """Return the contract that an artifact carries: it says of an approximation that it is one, and which."""
    warnings = [f"an approximation, {name}: {APPROXIMATIONS[name]}" for name in sorted(transforms & {*APPROXIMATIONS})]
    return contract.model_copy(update={"notes": (*warnings, *contract.notes)})
