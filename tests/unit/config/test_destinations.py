"""Destinations of a campaign are exports of it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from modelferry.cli.schemas import all_schemas
from modelferry.config.file import parse_config
from modelferry.core.errors import ConfigError
from modelferry.formats.destinations import destination_names, load_destination

CAMPAIGN = {"family": "charged_higgs_particlenet", "axes": {"fold": [0]}, "checkpoint": "{fold}.pt"}


def data(destinations: Any, **others: Any) -> dict[str, Any]:
    return {"campaigns": {"own": {**CAMPAIGN, "destinations": destinations, **others}}}


def test_a_destination_adds_exports_in_the_layout_that_batches() -> None:
    (model,) = parse_config(data([{"onnxruntime": {"version": "1.17.1"}}], formats=["torchscript"])).models()
    assert [(export.name, export.format, export.layout) for export in model.exports] == [
        ("torchscript", "torchscript", None),
        ("onnxruntime-1.17.1", "onnx@1.17.1", "dense"),
    ]


def test_a_version_alone_is_a_format_too() -> None:
    (model,) = parse_config(data([], formats=["onnx@1.17.1"])).models()
    assert [(export.name, export.format) for export in model.exports] == [("onnx-1.17.1", "onnx@1.17.1")]


@pytest.mark.parametrize(
    ("destinations", "reason"),
    [
        (["cmsw"], "unknown destination 'cmsw'; did you mean 'cmssw'"),
        (["onnxruntime"], "destination onnxruntime has no version; write version: '1.17.1'"),
        ([{"onnxruntime": {"version": 1.17}}], r"destinations\.0\.settings\.version"),
        ([{"onnxruntime": {"version": "1.17.1", "opset": "12"}}], "has no setting 'opset'"),
        ([{"onnxruntime": {"version": "1.3.0"}}], "reads no operator set 18"),
        ([{"onnxruntime": {}, "cmssw": {}}], "give a name, or a name with settings"),
        ([{"cmssw": {"formats": ["onx"]}}], "destination cmssw takes no 'onx'; did you mean 'onnx'"),
        ([{"onnxruntime": {"version": "1.17.1"}}] * 2, "two exports are called 'onnxruntime-1.17.1'"),
    ],
)
def test_mistakes_are_named(destinations: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_config(data(destinations))


def test_the_schema_knows_what_the_config_takes() -> None:
    check = jsonschema.Draft202012Validator(json.loads(all_schemas()["config.schema.json"]))
    assert check.is_valid(data([{"onnxruntime": {"version": "1.17.1"}}], formats=["onnx@1.17.1"]))
    assert check.is_valid(data(list(destination_names())))
    assert not check.is_valid(data(["cmsw"]))
    assert not check.is_valid(data([{"cmsw": {}}]))


@pytest.mark.parametrize("name", destination_names())
def test_a_destination_is_called_as_its_module(name: str) -> None:
    assert load_destination(name).name == name
