"""The schemas in the repository are those of the models, and the default config obeys its own."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from modelferry.cli.schemas import all_schemas

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "workflow/schemas"


@pytest.mark.parametrize("name", all_schemas())
def test_committed_schema_is_the_generated_one(name: str) -> None:
    assert (FOLDER / name).read_text() == all_schemas()[name], "run `make schemas`"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(all_schemas())


def test_default_config_obeys_its_schema_and_a_misspelt_key_does_not() -> None:
    schema = json.loads((FOLDER / "config.schema.json").read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    jsonschema.validate(config, schema)
    config["campaigns"]["charged_higgs"]["famly"] = config["campaigns"]["charged_higgs"]["family"]
    with pytest.raises(jsonschema.ValidationError, match="famly"):
        jsonschema.validate(config, schema)
