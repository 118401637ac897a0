import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelferry.cli.schemas import all_schemas
from modelferry.config import Config
from modelferry.config.file import parse_config, read_config
from modelferry.core.errors import ConfigError
from modelferry.formats import load_format
from modelferry.plan import Plan

CAMPAIGN = {
    "family": "charged_higgs_particlenet",
    "axes": {"channel": ["Run1E2Mu", "Run3Mu"], "fold": [3]},
    "checkpoint": "weights/{channel}/fold-{fold}.pt",
    "formats": ["torchscript"],
}


def config(**changes: Any) -> dict[str, Any]:
    return {"campaigns": {"higgs": {**CAMPAIGN, **changes}}}


def message_of(data: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Plan(parse_config(data)).models  # noqa: B018 - all that a start of the workflow checks
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_models_are_the_product_of_the_axes_in_the_order_of_the_config() -> None:
    ids = [model.id for model in parse_config(config()).models()]
    assert ids == ["higgs/Run1E2Mu/fold-3", "higgs/Run3Mu/fold-3"]


WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,6}", fullmatch=True)
AXES = st.dictionaries(
    st.from_regex(r"[a-z]{1,6}", fullmatch=True),
    st.one_of(
        st.lists(WORDS, min_size=1, max_size=4, unique=True),
        st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    ),
    min_size=1,
    max_size=4,
)


@given(axes=AXES)
def test_any_axes_expand_to_their_product_with_unique_ids(axes: dict[str, list[str | int]]) -> None:
    models = parse_config(config(axes=axes, checkpoint="weights.pt")).models()
    assert [tuple(model.axes.values()) for model in models] == list(itertools.product(*axes.values()))
    assert all(list(model.axes) == list(axes) for model in models)
    assert len({model.id for model in models}) == len(models)
    assert all(model.id.count("/") == len(axes) for model in models)


@pytest.mark.parametrize(
    ("written", "nearest", "data"),
    [
        ("campaign", "campaigns", {"campaign": {}}),
        ("formts", "formats", config(formts=["torchscript"])),
        ("rtoll", "rtol", config(validation={"rtoll": 1e-3})),
        ("thread", "threads", config(benchmark={"thread": 2})),
        ("option", "options", config(formats=[{"format": "torchscript", "option": {}}])),
        ("wher", "where", config(overrides=[{"wher": {"fold": 3}}])),
    ],
)
def test_misspelt_key_is_named_with_the_nearest_right_one(written: str, nearest: str, data: dict[str, Any]) -> None:
    text = message_of(data)
    assert f"'{written}'" in text
    assert f"did you mean '{nearest}'?" in text


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("  formts: [torchscript]", 7),
        ("  validation: {rtoll: 1}", 7),
        ("  validation:\n      rtol: 1\n      sed: 1", 9),
    ],
)
def test_misspelt_key_is_named_with_file_and_line(wrong: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    lines = ["campaigns:", "  higgs:"]
    lines += [f"    {key}: {json.dumps(value)}" for key, value in CAMPAIGN.items()]
    path.write_text("\n".join([*lines, f"  {wrong}"]) + "\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_value_of_a_wrong_type_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config(validation={"events": "many"}), sort_keys=False))
    line = path.read_text().splitlines().index("      events: many") + 1
    with pytest.raises(ConfigError, match=f"^{path}:{line}: campaigns.higgs.validation.events: .*'many'"):
        read_config(path)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"family": "charged_higs_particlenet"}, "did you mean 'charged_higgs_particlenet'?"),
        ({"formats": ["torchscrpt"]}, "did you mean 'torchscript'?"),
        ({"checkpoint": "weights/{chanel}.pt"}, "unknown axis 'chanel'; did you mean 'channel'?"),
        ({"events": "{era}.root"}, "unknown axis 'era'"),
        ({"overrides": [{"where": {"foldd": 3}}]}, "unknown axis 'foldd'; did you mean 'fold'?"),
        ({"overrides": [{"where": {"fold": 4}}]}, "axis 'fold' has no value '4'"),
        ({"axes": {"channel": ["Run3Mu"], "fold": []}}, "axis 'fold' is empty"),
        ({"axes": {}}, "no axes"),
        ({"formats": []}, "no formats"),
        ({"formats": ["torchscript", "torchscript"]}, "two exports are called 'torchscript'"),
        ({"axes": {"channel": ["../up"], "fold": [1]}}, "'../up' cannot be part of a path"),
        ({"checkpoint": "weights/{channel.pt"}, "weights/{channel.pt"),
        ({"hyperparameters": {"hiden": 64}}, "did you mean 'hidden'?"),
        ({"formats": [{"format": "torchscript", "layout": "flt"}]}, "no layout 'flt'; did you mean 'flat'?"),
        ({"formats": [{"format": "torchscript", "approximate": ["static_edge"]}]}, "did you mean 'static_edges'?"),
        ({"formats": [{"format": "onnx", "layout": "dense", "approximate": ["static_edges"]}]}, "of this layout"),
        ({"events": {"file": "a.root"}}, "did you mean 'files'?"),
        ({"events": {"files": "a.root", "options": {"erra": "2018"}}}, "did you mean 'era'?"),
        ({"events": {"files": "{chanel}.root"}}, "did you mean 'channel'?"),
        ({"family": "not_there.taggers:Mine"}, "not_there"),
        ({"checkpoint": "weights/{fold:02d}-{channel}.pt"}, "{fold:02d}"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_its_remedy(changes: dict[str, Any], wanted: str) -> None:
    assert wanted in message_of(config(**changes))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"methd": "trace"}, "did you mean 'method'?"), ({"method": "trce"}, "did you mean 'trace'?")],
)
def test_wrong_option_of_a_format_is_found_before_anything_runs(options: dict[str, str], wanted: str) -> None:
    text = message_of(config(formats=[{"format": "torchscript", "options": options}]))
    assert wanted in text


def test_two_models_with_one_id_are_refused() -> None:
    assert "two models are called 'higgs/Run3Mu/fold-3'" in message_of(
        config(axes={"channel": ["Run3Mu", "Run3Mu"], "fold": [3]})
    )
    assert "two models" in message_of(config(axes={"fold": [3, "fold-3"]}, checkpoint="weights.pt"))


@pytest.mark.parametrize("name", ["templates", "demo"])
def test_campaign_cannot_take_a_folder_of_the_workflow(name: str) -> None:
    assert name in message_of({"campaigns": {name: CAMPAIGN}})


@pytest.mark.parametrize(
    "data", [None, {}, [], "text", {"campaigns": {}}, {"campaigns": []}, {"campaigns": {"a": None}}]
)
def test_config_of_another_shape_is_an_error_of_one_line(data: Any) -> None:
    message_of(data)


@pytest.mark.parametrize("content", [b"campaigns: {", b"a: [1\nb: 2", b"\xff\xfe\x00bad", b"\t- x"])
def test_file_that_is_no_yaml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_missing_config_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*nowhere\.yaml"):
        read_config(tmp_path / "nowhere.yaml")


def one_model(tmp_path: Path, pattern: str, **changes: Any) -> Any:
    axes = {"channel": ["Run3Mu"], "fold": [3]}
    (model,) = parse_config(config(axes=axes, checkpoint=f"{tmp_path}/{pattern}", **changes)).models()
    return model


def test_pattern_that_matches_nothing_makes_the_model_missing_and_names_the_path(tmp_path: Path) -> None:
    model = one_model(tmp_path, "{channel}/{fold}/*.pt")
    assert model.checkpoint == ""
    assert f"{tmp_path}/Run3Mu/3/*.pt" in model.missing


def test_pattern_that_matches_one_file_is_resolved(tmp_path: Path) -> None:
    file = tmp_path / "Run3Mu" / "deep" / "ParticleNet-nNodes128.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    for pattern in ("{channel}/deep/ParticleNet-*.pt", "{channel}/**/*.pt", "Run3Mu/deep/ParticleNet-nNodes128.pt"):
        model = one_model(tmp_path, pattern)
        assert (model.checkpoint, model.missing) == (str(file), "")


def test_pattern_that_matches_many_files_makes_the_model_missing_and_counts_them(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.pt").touch()
    model = one_model(tmp_path, "*.pt")
    assert model.checkpoint == ""
    assert "3 checkpoints match" in model.missing


def test_override_changes_the_models_it_selects_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "special.pt").touch()
    overrides = [
        {"where": {"channel": "Run3Mu"}, "hyperparameters": {"hidden": 64}, "checkpoint": f"{tmp_path}/special.pt"},
        {"where": {"channel": "Run3Mu", "fold": 4}, "hyperparameters": {"hidden": 32}},
    ]
    axes = {"channel": ["Run1E2Mu", "Run3Mu"], "fold": [3, 4]}
    models = {m.id: m for m in parse_config(config(axes=axes, overrides=overrides)).models()}
    assert {name: model.hyperparameters for name, model in models.items()} == {
        "higgs/Run1E2Mu/fold-3": {},
        "higgs/Run1E2Mu/fold-4": {},
        "higgs/Run3Mu/fold-3": {"hidden": 64},
        "higgs/Run3Mu/fold-4": {"hidden": 32},
    }
    assert models["higgs/Run3Mu/fold-4"].checkpoint == f"{tmp_path}/special.pt"
    assert models["higgs/Run1E2Mu/fold-4"].checkpoint == ""


def test_exports_of_one_format_with_other_options_have_names_of_their_own() -> None:
    formats = ["torchscript", {"format": "torchscript", "options": {"method": "script"}}]
    (model, _) = parse_config(config(formats=formats)).models()
    assert [export.name for export in model.exports] == ["torchscript", "torchscript-script"]
    plan = Plan(parse_config(config(formats=formats, checkpoint="demo")))
    planned = next(iter(plan.models.values()))
    trace, script = (planned.template(name) for name in ("torchscript", "torchscript-script"))
    assert trace.architecture == script.architecture
    assert trace.variant != script.variant
    assert trace.options == load_format("torchscript").resolve_options({})


def test_width_is_read_off_the_checkpoint_and_a_contradiction_is_that_models_failure(tmp_path: Path) -> None:
    from checkpoint_samples import save_checkpoint

    save_checkpoint(tmp_path / "wide.pt", hidden=24)
    data = config(checkpoint=f"{tmp_path}/wide.pt", axes={"fold": [0]})
    (planned,) = Plan(parse_config(data)).models.values()
    assert planned.hyperparameters == {"hidden": 24}
    data = config(checkpoint=f"{tmp_path}/wide.pt", axes={"fold": [0]}, hyperparameters={"hidden": 16})
    plan = Plan(parse_config(data))
    (planned,) = plan.models.values()
    assert "hidden is 16 in the config but 24 in the checkpoint" in planned.problem
    assert plan.runnable == {}


def test_default_config_has_these_models_and_formats() -> None:
    *models, edge, zero, one, first, second = read_config(Path(__file__).parents[3] / "config.yaml").models()
    for jets in (first, second):
        assert (jets.family, jets.demo, jets.embed.files, jets.explore is None) == (
            "particle_transformer", True, "demo", False,
        )  # fmt: skip
    assert [(digits.family, digits.demo, digits.axes) for digits in (zero, one)] == [
        ("lightning", True, {"fold": 0}),
        ("lightning", True, {"fold": 1}),
    ]
    assert (edge.family, edge.demo) == ("bytecnn", True)
    assert [export.name for export in edge.exports] == ["json", "python", "cpp", "onnx"]
    assert len(models) == 6
    assert {m.axes["channel"] for m in models} == {"Run1E2Mu", "Run3Mu"}
    assert {m.axes["signal"] for m in models} == {
        f"TTToHcToWAToMuMu-{masses}" for masses in ("MHc160_MA85", "MHc130_MA90", "MHc100_MA95")
    }
    assert {m.axes["fold"] for m in models} == {3}
    formats = [("torchscript", "flat"), ("torch_export", "dense"), ("aotinductor", "dense"), ("onnx", "dense")]
    assert all([(export.format, export.layout) for export in model.exports] == formats for model in models)
    assert all(m.demo for m in models)


def test_schema_of_the_config_accepts_what_the_code_accepts_and_refuses_unknown_keys() -> None:
    import jsonschema

    schema = json.loads(all_schemas()["config.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    root = Path(__file__).parents[3]
    jsonschema.validate(yaml.safe_load((root / "config.yaml").read_text()), schema)
    jsonschema.validate(config(), schema)
    for wrong in (config(formts=[]), {"campaign": {}}, config(validation={"rtoll": 1})):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize("name", ["ttH+bb", "a.b", "run-2", "c++"])
def test_campaign_with_signs_in_its_name_is_accepted(name: str) -> None:
    assert Config.model_validate({"campaigns": {name: CAMPAIGN}}).models()[0].id.startswith(f"{name}/")


def test_events_are_a_pattern_alone_or_with_options(tmp_path: Path) -> None:
    for name in ("Run1E2Mu", "Run3Mu"):
        (tmp_path / f"{name}.root").write_bytes(b"")
    pattern = f"{tmp_path}/{{channel}}.root"
    (model, _) = parse_config(config(events=pattern)).models()
    assert (model.events, model.event_options) == ((f"{tmp_path}/Run1E2Mu.root",), {})
    (model, _) = parse_config(config(events={"files": pattern, "options": {"era": "2018"}})).models()
    assert (model.events, model.event_options) == ((f"{tmp_path}/Run1E2Mu.root",), {"era": "2018"})


def test_approximation_has_a_name_and_a_template_of_its_own_and_is_never_exact() -> None:
    exact, static = {"format": "torchscript"}, {"format": "torchscript", "approximate": ["static_edges"]}
    (planned, _) = Plan(parse_config(config(formats=[exact, static]))).models.values()
    assert [export.name for export in planned.model.exports] == ["torchscript", "torchscript-static_edges"]
    whole, approximated = (planned.template(export.name) for export in planned.model.exports)
    assert whole.variant != approximated.variant
    assert (whole.exactness, approximated.exactness) == ("exact", "approximation")
    assert approximated.transforms == whole.transforms | {"static_edges"}
    alone = {**static, "transforms": "none", "name": "alone"}
    (planned, _) = Plan(parse_config(config(formats=[alone]))).models.values()
    assert planned.template("alone").transforms == {"static_edges"}
