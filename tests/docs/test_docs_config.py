"""The examples of docs/config.md, read as they are printed, with /data in a folder of the test."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from modelferry.cli.schemas import all_schemas
from modelferry.config.file import parse_config

PAGE = (Path(__file__).parents[2] / "docs/config.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(campaigns:\n  higgs.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)
FILES = (
    "Run1E2Mu/fold-2/model-a.pt",
    "Run1E2Mu/fold-10/model-b.pt",
    "Run3Mu/fold-2/model-a.pt",
    "final/a.pt",
    "final/b.pt",
)


def test_page_has_an_example_of_each_way() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize(("config", "ids"), EXAMPLES)
def test_example_has_the_models_that_the_page_lists(
    config: str, ids: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    (table,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    Path("models.csv").write_text(table.replace("/data", str(tmp_path)))
    models = parse_config(yaml.safe_load(config.replace("/data", str(tmp_path)))).models()
    assert [model.id for model in models] == ids.split()
    there = [model.id for model in models if not model.missing]
    assert there == [name for name in ids.split() if not re.search(r"Run1E2Mu/fold-[01]$", name)]


@pytest.mark.parametrize("config", [config for config, _ in EXAMPLES])
def test_schema_accepts_the_example(config: str) -> None:
    schema = json.loads(all_schemas()["config.schema.json"])
    data = yaml.safe_load(config)
    jsonschema.validate(data, schema)
    if "axes" in (campaign := data["campaigns"]["higgs"]):
        jsonschema.validate({"campaigns": {"higgs": {**campaign, "axes": "found"}}}, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"campaigns": {"higgs": {**campaign, "axes": "all"}}}, schema)
