"""What a campaign's models are: parameters, inputs, features, classes and hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from modelferry.core.contract import Contract, Tensor
from modelferry.records.summary import SummaryModel
from modelferry.stages.report.blocks import ROWS, Columns, Table, tabulate
from modelferry.stages.report.formatting import NOTHING, code, count, counts, digest, pairs, prose, some
from modelferry.stages.report.page import Page


def contracts_of(models: Sequence[SummaryModel], contracts: Mapping[str, Contract]) -> dict[str, Contract]:
    """Return layout → contract for the layouts that these models are exported in."""
    layouts = {
        f"{model.campaign}/{artifact.layout}": artifact.layout for model in models for artifact in model.artifacts
    }
    return {layout: contracts[key] for key, layout in layouts.items() if key in contracts}


def overview(page: Page) -> Table | None:
    """Return one row per campaign: family, parameters, inputs and classes."""

    def contract(models: Sequence[SummaryModel]) -> Contract | None:
        return next(iter(contracts_of(models, page.contracts).values()), None)

    def inputs(contract: Contract | None) -> list[str]:
        tensors = contract.inputs if contract else ()
        return [code(f"{tensor.name} ({', '.join(map(str, tensor.shape))})") for tensor in tensors]

    rows = [(campaign, models, contract(models)) for campaign, models in page.groups.items()]
    columns: Columns = {
        "campaign": lambda campaign, *_: page.link(campaign),
        "family": lambda _, models, contract: ", ".join(dict.fromkeys(code(model.family) for model in models)),
        "parameters": lambda _, models, contract: counts([model.parameters for model in models if model.parameters]),
        "inputs": lambda _, models, contract: ", ".join(inputs(contract)),
        "classes": lambda _, models, contract: some([code(name) for name in contract.classes], 4) if contract else "",
    }
    return tabulate("specification", columns, rows, "llrll", ROWS)


def specification(models: Sequence[SummaryModel], contracts: Mapping[str, Contract]) -> Table:
    """Return the specification of one campaign's models as a table of properties."""
    architectures = {model.architecture: model.parameters for model in models if model.architecture}
    common, varying = _hyperparameters(models)
    rows = [
        ["family", some([code(family) for family in dict.fromkeys(model.family for model in models)])],
        ["architectures", some([f"{digest(a)}, {count(n)} parameters" for a, n in architectures.items()]) or NOTHING],
        *_contract_rows(contracts_of(models, contracts)),
        ["hyperparameters", pairs(common)],
    ]
    if varying:
        rows.append(["hyperparameters that differ", pairs(varying)])
    return Table("specification", ["property", "value"], rows, "ll")


def _hyperparameters(models: Sequence[SummaryModel]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the hyperparameters that all models share, and for the others the values they take."""
    known = [model.hyperparameters for model in models if model.hyperparameters]
    names = list(dict.fromkeys(name for values in known for name in values))
    taken = {name: list(dict.fromkeys(json.dumps(values.get(name), default=str) for values in known)) for name in names}
    common = {name: values[0] for name, values in taken.items() if len(values) == 1}
    return common, {name: some(values, 5) for name, values in taken.items() if len(values) > 1}


def _contract_rows(contracts: Mapping[str, Contract]) -> list[list[str]]:
    rows = []
    for layout, contract in contracts.items():
        of = f" ({prose(layout)} layout)" if len(contracts) > 1 else ""
        rows += [[f"input{of}", tensor_line(tensor)] for tensor in contract.inputs]
        rows += [[f"output{of}", tensor_line(tensor)] for tensor in contract.outputs]
        rows.append([f"sizes{of}", "; ".join(_sizes(contract)) or "all fixed"])
        rows += [[f"note{of}", prose(note)] for note in contract.notes]
    classes = list(dict.fromkeys(contract.classes for contract in contracts.values() if contract.classes))
    return [["classes", ", ".join(code(name) for name in names)] for names in classes] + rows


def tensor_line(tensor: Tensor) -> str:
    """Return name, dtype, shape, unit, meaning and features of an input or output."""
    shape = ", ".join(str(size) for size in tensor.shape)
    parts = [f"{code(f'{tensor.name} ({shape})')} {tensor.dtype}"]
    if tensor.unit:
        parts.append(f"in {prose(tensor.unit)}")
    text = " ".join(parts)
    text += f": {prose(tensor.description)}" if tensor.description else ""
    features = ", ".join(code(name) for name in tensor.features)
    return f"{text}. Features in order: {features}" if features else text


def _sizes(contract: Contract) -> list[str]:
    return [f"{code(d.name)} {d.minimum:,} to {d.maximum:,}, typically {d.typical:,}" for d in contract.dimensions]
