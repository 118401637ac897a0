"""Artifacts for CMSSW: float32 in, scores out, and preprocess.json as weaver writes it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from cmssw_reader import prepared
from cmssw_samples import CMSSW, columns_of, made
from made_once import made_once
from modelferry.comparison.scores import SCORES
from modelferry.core.contract import Contract, Dimension, PreparedInput, Tensor, Variable
from modelferry.core.errors import ArtifactError, ConfigError, ContractError
from modelferry.demo.jet_toys import mixed
from modelferry.families import load_family
from modelferry.families.jets.base import JetFamily
from modelferry.families.jets.card import read_card
from modelferry.formats.destinations.cmssw import check, preprocess

FACTS = Path(__file__).parents[3] / "facts"
WEAVER = json.loads((FACTS / "preprocess_weaver.json").read_text())
"""What `DataConfig.export_json` of weaver-core 0.5.3 writes from each card."""
HIGGS = load_family("charged_higgs_particlenet")
SMALL = {"hidden": 8}
CLOSE = 1e-5


def card_of(name: str) -> Any:
    return read_card(name if name.startswith("JetClass") else FACTS / f"cards/{name}.yaml")


@pytest.mark.parametrize("name", WEAVER)
def test_preprocess_json_is_what_weaver_writes_from_the_same_card(name: str) -> None:
    preparation = card_of(name).preparation("pf_mask")
    check(preparation)
    contract = Contract(layout="prepared", inputs=(), outputs=(), dimensions=(), preparation=preparation)
    assert json.loads(json.dumps(preprocess(contract))) == WEAVER[name]


def test_cards_with_facts_from_weaver_say_all_that_can_be_expressed() -> None:
    variables = [v for given in card_of("everything").inputs.values() for v in given.vars]
    for field in Variable.model_fields:
        assert len({getattr(variable, field) for variable in variables}) > 1, field
    assert {*WEAVER} == {"JetClass_full", "JetClass_kin", "everything", "auto"}


def changed(**changes: Any) -> Any:
    prepared = card_of("everything").preparation("pf_mask")
    points = prepared.inputs["pf_points"]
    variable = points.variables[0]
    of_variable = {key: changes.pop(key) for key in tuple(changes) if key in Variable.model_fields}
    of_input = {key: changes.pop(key) for key in tuple(changes) if key in PreparedInput.model_fields}
    first = variable.model_copy(update=of_variable)
    given = points.model_copy(update={"variables": (first, *points.variables[1:]), **of_input})
    return prepared.model_copy(update={"inputs": {**prepared.inputs, "pf_points": given}, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"length": None}, "input pf_points of the data card: it has no length"),
        ({"padding": "wrap", "mask": ""}, "it is padded by wrap, and CMSSW pads with a number"),
        ({"padding": "wrap", "mask": "pf_points"}, "it is padded by wrap, and CMSSW pads with a number"),
        ({"name": "part_dphi"}, "variable part_dphi is in it twice"),
        ({"subtract": 0.0, "pad": 6.0}, "part_deta is padded with 6, outside its bounds -5 and 5, where CMSSW aborts"),
        ({"subtract": 0.0, "low": 1.0}, "padded with 0, outside its bounds 1 and 5"),
        ({"pad": -2e32}, r"outside its bounds -1e\+32 and 1e\+32"),
        ({"order_by": "-part_pt"}, "orders them by -part_pt; let the producer order them"),
    ],
)
def test_a_card_that_cannot_be_expressed_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    check(changed(pad=-2.0, padding="wrap"))
    with pytest.raises(ConfigError, match=reason):
        check(changed(**changes))


def test_a_card_that_cannot_be_expressed_is_refused_before_anything_runs(tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text((FACTS.parents[1] / "workflow/modelferry/families/jets/cards/JetClass_kin.yaml").read_text())
    text = card.read_text().replace("[part_deltaR, 0.2, 4.0]", "[part_deltaR, 0.2, 4.0, -5, 5, 9]")
    card.write_text(text)
    family = load_family("particlenet")
    hyperparameters = family.resolve({"features": 7, "card": str(card)}, {})
    with pytest.raises(ConfigError, match="part_deltaR is padded with 9"):
        CMSSW.contract(family.configured(hyperparameters).contract(hyperparameters, "prepared"))


@pytest.mark.parametrize("card", ["full", "kin"])
def test_a_reader_of_preprocess_json_prepares_what_the_network_takes(card: str) -> None:
    family = load_family("particlenet")
    hyperparameters = family.resolve({"features": {"full": 17, "kin": 7}[card], "card": f"JetClass_{card}"}, {})
    family = family.configured(hyperparameters)
    assert isinstance(family, JetFamily)
    jets = mixed(200, seed=4)
    events = family.events_of({name: jets[name] for name in family.card.input_branches})
    beside = preprocess(CMSSW.contract(family.contract(hyperparameters, "prepared")))
    for event, columns in zip(events, columns_of(family, events), strict=True):
        taken, read = family.collate([event], "prepared"), prepared(beside, columns)
        for name, array in taken.items():
            rows = read[name].reshape(array.shape[1], -1)
            assert rows.shape[1] == 128
            np.testing.assert_allclose(rows[:, : array.shape[2]], array[0], rtol=1e-5, atol=1e-6)
            assert not rows[:, array.shape[2] :].any()


@pytest.fixture(scope="module")
def higgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        torch.manual_seed(2)
        made(HIGGS, SMALL, HIGGS.reference(SMALL).state_dict(), "dense", folder)

    return made_once(tmp_path_factory, "cmssw", make) / "model.onnx"


def test_all_is_float32_in_a_version_that_the_runtime_reads_and_scores_come_first(higgs: Path) -> None:
    proto = onnx.load(higgs)
    assert {value.type.tensor_type.elem_type for value in proto.graph.input} == {onnx.TensorProto.FLOAT}
    assert [value.name for value in proto.graph.output] == ["scores"]
    assert proto.ir_version <= 9
    assert [entry.version for entry in proto.opset_import if entry.domain == ""] <= [20]
    assert json.loads(CMSSW.files(higgs)[1].read_text()) == {
        "output_names": ["signal", "nonprompt", "diboson", "ttZ"],
        "input_names": ["x", "mask", "graph_input"],
    }


def test_an_event_whose_mask_is_no_truth_value_has_no_scores_and_its_mates_have_theirs(higgs: Path) -> None:
    run = CMSSW.load(higgs, 1)
    inputs = HIGGS.inputs_of(HIGGS.sample({"events": 4, "particles": 6}, 1), run.contract)
    right = run(inputs)["scores"]
    assert np.abs(right.sum(axis=1) - 1).max() < 1e-6
    for value in (0.5, -1.0, 2.0, np.nan, np.inf):
        mask = inputs["mask"].copy()
        mask[1, 2] = value
        with pytest.raises(ContractError, match="input 'mask' holds"):
            run({**inputs, "mask": mask})
        found = run.function({**inputs, "mask": mask})["scores"]
        assert np.isnan(found[1]).all()
        assert np.array_equal(found[[0, 2, 3]], right[[0, 2, 3]])


def test_whole_numbers_go_in_as_floats() -> None:
    family = load_family("bytecnn")
    hyperparameters = family.resolve({"embedding": 4, "convolutions": [[6, 3, True]], "dense": 8, "max_len": 32}, {})
    family = family.configured(hyperparameters)
    own = family.contract(hyperparameters, family.batched_layout)
    contract = CMSSW.contract(own)
    (text,) = contract.inputs
    assert (text.dtype, text.below) == ("float32", 256)
    torch.manual_seed(1)
    reference = family.reference(hyperparameters).eval()
    network = CMSSW.delivered(copy.deepcopy(reference), own)
    for length in (20, 0):
        sizes = {name: 3 if name == family.batch else length for name in family.sampled}
        inputs = torch.from_numpy(family.inputs_of(family.sample(sizes, 1), contract)[text.name])
        with torch.no_grad():
            expected = SCORES[own.scores](reference(inputs.to(torch.uint8)).numpy())
            assert np.abs(network(inputs).numpy() - expected).max() < CLOSE
            if length:
                inputs[1, 2] += 0.5
                assert network(inputs).isnan().any(dim=1).tolist() == [False, True, False]


def test_what_floats_cannot_express_is_refused() -> None:
    with pytest.raises(ConfigError, match="input 'x' of layout flat has no axis of events first"):
        CMSSW.contract(HIGGS.contract(SMALL, "flat"))
    rows = Dimension(name="rows", minimum=1, typical=2, maximum=4)
    output = (Tensor(name="y", dtype="float32", shape=("rows", 1)),)
    for tensor, reason in (
        (Tensor(name="x", dtype="float64", shape=("rows", 3)), "is float64, and cmssw gives float32"),
        (Tensor(name="x", dtype="int64", shape=("rows", 3), below="rows"), "counts along rows"),
    ):
        contract = Contract(layout="own", inputs=(tensor,), outputs=output, dimensions=(rows,))
        with pytest.raises(ConfigError, match=reason):
            CMSSW.contract(contract)


def test_another_preprocess_json_is_refused(higgs: Path, tmp_path: Path) -> None:
    copied = tmp_path / "model.onnx"
    for file, other in zip(CMSSW.files(higgs), CMSSW.files(copied), strict=True):
        other.write_bytes(file.read_bytes())
    CMSSW.load(copied, 1)
    beside = CMSSW.files(copied)[1]
    beside.write_text(beside.read_text().replace("ttZ", "ttW"))
    with pytest.raises(ArtifactError, match=r"does not prepare what model\.onnx takes"):
        CMSSW.load(copied, 1)


def test_single_files_are_not_made_for_cmssw(higgs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write destinations: \[cmssw\]"):
        CMSSW.export(HIGGS.reference(SMALL), HIGGS.contract(SMALL, "dense"), {}, {}, {}, {}, tmp_path / "model.onnx")
