from pathlib import Path
from typing import Any

import pytest
import yaml

from modelferry.core.errors import ConfigError
from modelferry.families.jets import packaged_cards, read_card
from modelferry.families.jets.layouts import raw_inputs

SMALL: dict[str, Any] = {
    "new_variables": {"part_pt": "np.hypot(part_px, part_py)", "part_pt_log": "np.log(part_pt)"},
    "inputs": {
        "pf_features": {"length": 4, "pad_mode": "wrap", "vars": [["part_pt_log", 1.7, 0.7], "part_deta"]},
        "pf_mask": {"length": 4, "vars": [["part_px", None]]},
    },
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / f"card{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def message_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_card(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize(
    ("name", "features", "classes"),
    [("JetClass_kin", 7, 10), ("JetClass_kinpid", 13, 10), ("JetClass_full", 17, 10), ("JetClassII_full", 17, 188)],
)
def test_packaged_cards_have_the_channels_of_the_sheets(name: str, features: int, classes: int) -> None:
    card = read_card(name)
    assert {key: len(given.vars) for key, given in card.inputs.items()} == {
        "pf_points": 2,
        "pf_features": features,
        "pf_vectors": 4,
        "pf_mask": 1,
    }
    assert len(card.classes) == len(set(card.classes)) == classes
    assert set(packaged_cards()) >= {name}


def test_branches_are_what_the_inputs_and_the_selection_are_computed_from(tmp_path: Path) -> None:
    card = read_card(written(tmp_path, selection="(jet_pt > 200) & (abs(jet_eta) < 2)", order_by="-part_energy"))
    assert card.input_branches == ("part_deta", "part_energy", "part_px", "part_py")
    assert card.branches == ("jet_eta", "jet_pt", "part_deta", "part_energy", "part_px", "part_py")
    assert card.jet_branches == ()


def test_without_a_column_of_the_jet_the_preparation_cannot_go_inside(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no column of the jet, and the layout raw needs one; use prepared"):
        raw_inputs(read_card(written(tmp_path)))


def test_sections_without_bearing_on_the_inputs_are_taken(tmp_path: Path) -> None:
    card = read_card(
        written(tmp_path, weights={"use_precomputed_weights": False}, observers=["jet_pt"], treename="tree")
    )
    assert "jet_pt" not in card.branches


def test_numbers_that_weaver_found_are_used(tmp_path: Path) -> None:
    found = {"part_deta": {"length": 4, "pad_mode": "wrap", "center": 0.5, "scale": 2.0, "min": -3, "max": 3}}
    card = read_card(written(tmp_path, preprocess={"method": "auto", "params": found}))
    (_, deta) = card.inputs["pf_features"].vars
    assert (card.standardised(deta).subtract, card.standardised(deta).multiply) == (0.5, 2.0)
    assert "auto.yaml" in message_of(written(tmp_path, preprocess={"method": "auto"}))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"input": {}}, "unknown key 'input'; did you mean 'inputs'?"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": {"x": {"length": 4, "vars": [["aux_truth_match"]]}}}, "aux_truth_match"),
        ({"inputs": {"x": {"length": 4, "vars": ["label_Hbb"]}}}, "only simulation knows"),
        ({"inputs": {"x": {"length": 4, "vars": ["y"]}}, "new_variables": {"y": "part_px * jet_label"}}, "jet_label"),
        (
            {"inputs": {"x": {"vars": ["answer"]}}, "labels": {"type": "custom", "value": {"truth": "answer"}}},
            "'answer', which only simulation knows",
        ),
        ({"inputs": {"x": {"length": 4, "pad_mode": "wrapp", "vars": ["a"]}}}, "'wrap'"),
        ({"inputs": {"x": {"length": 0, "vars": ["a"]}}}, "inputs.x.length"),
        ({"inputs": {"x": {"length": 4, "vars": [["a", 1, 2, 3, 4, 5, 6]]}}}, "a variable is [name"),
        ({"new_variables": {"a": "b + 1", "b": "a + 1"}}, "circle"),
        ({"new_variables": {"a": "np.lgo(b)"}}, "did you mean 'log'?"),
        ({"new_variables": {"a": "(b > 1) and (b < 2)"}}, "write & or |"),
        ({"new_variables": {"a": "b +"}}, "is not an expression"),
        ({"selection": "__import__('os').system('true')"}, "not allowed"),
        ({"selection": "jet_pt.__class__"}, "not allowed"),
        ({"selection": "[x for x in jet_pt]"}, "not allowed"),
        ({"selection": "(lambda: 1)()"}, "not allowed"),
        ({"selection": "jet_pt[0]"}, "not allowed"),
        ({"selection": "np.load('file')"}, "not allowed"),
        ({"selection": "'text'"}, "not allowed"),
        ({"selection": "np.log(jet_pt, out=jet_eta)"}, "a keyword"),
        ({"labels": {"type": "simple", "value": {"a": "b"}}}, "simple labels are a list"),
    ],
)
def test_mistakes_are_named_on_one_line(tmp_path: Path, changes: dict[str, Any], wanted: str) -> None:
    assert wanted in message_of(written(tmp_path, **changes))


@pytest.mark.parametrize("content", ["a: [", "just text", "", "\x00"])
def test_file_that_is_no_card_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(content)
    message_of(path)


def test_missing_card_names_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="JetClass_full"):
        read_card("nowhere.yaml")
