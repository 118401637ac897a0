"""Outside the contract: every malformed input breaks it, and an artifact that takes one for sound is seen."""

from __future__ import annotations

import numpy as np
import pytest

from family_samples import SMALL
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ContractError
from modelferry.stages.validation.checks import typical_inputs
from modelferry.stages.validation.invalid_inputs import malformed, reject_all
from modelferry.stages.validation.recording import Recording
from small_family import DENSE, FLAT, checked, deployable, record, reference, runner

CONTRACTS = [
    (name, layout, family.contract(family.hyperparameters, layout))
    for name, family in SMALL.items()
    for layout in family.layouts
]
EXPECTED = {
    "none at all", "beyond the largest size", "inputs that disagree in size", "another dtype",
    "another number of features", "an axis too many", "an axis too few", "no array", "an input missing",
    "an input too many", "integers out of range",
}  # fmt: skip


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(reference())


@pytest.mark.parametrize(("name", "layout", "contract"), CONTRACTS, ids=[f"{c[0]}-{c[1]}" for c in CONTRACTS])
def test_every_malformed_input_breaks_the_contract_and_leaves_the_sound_one_alone(name, layout, contract) -> None:
    inputs = typical_inputs(SMALL[name], contract)
    before = {key: value.copy() for key, value in inputs.items()}
    cases = list(malformed(contract, inputs))
    assert contract.allows(inputs)
    for case in cases:
        with pytest.raises(ContractError):
            contract.check(case.inputs)
    assert all(np.array_equal(inputs[key], before[key]) for key in before)
    assert len({(case.kind, case.where) for case in cases}) > 10


def test_all_kinds_that_are_promised_are_made() -> None:
    from small_family import FAMILY

    kinds = {case.kind for contract in (FLAT, DENSE) for case in malformed(contract, typical_inputs(FAMILY, contract))}
    assert kinds == EXPECTED


def test_one_that_is_answered_is_silently_wrong_and_named() -> None:
    from small_family import FAMILY

    inputs = typical_inputs(FAMILY, DENSE)

    def lenient(given: Arrays) -> Arrays:
        if given.get("x", inputs["x"]) is inputs["x"]:
            raise ValueError("no\nmore")
        return {"logits": np.zeros((2, 4), np.float32)}

    found = {case.kind: case for case in reject_all(lenient, DENSE, inputs)}
    assert found["another dtype"].outcome == "silently wrong"
    assert "x as float64" in found["another dtype"].detail
    assert found["an input too many"].outcome == "rejected"
    assert found["an input too many"].detail == "unexpected ValueError: no"


def outcomes(run, contract: Contract, recording: Recording) -> dict[str, str]:
    found = checked(run, contract, recording)
    return {case.kind: case.outcome for case in found.outside} | {"verdict": found.verdict.status}


@pytest.mark.parametrize("contract", [FLAT, DENSE], ids=["flat", "dense"])
def test_numbers_that_are_not_finite_come_out_as_such_and_leave_batch_mates_alone(contract, recording) -> None:
    found = outcomes(runner(deployable(contract.layout), contract), contract, recording)
    words = [f"{word} in {name}" for word in ("NaN", "infinity", "-infinity") for name in ("x", "graph_input")]
    assert [found[word] for word in words] == ["not finite"] * 6
    assert found["verdict"] == "passed"


@pytest.mark.parametrize("contract", [FLAT, DENSE], ids=["flat", "dense"])
def test_artifact_that_hides_a_nan_behind_a_score_fails(contract, recording) -> None:
    """As rounding to integers does, or a runtime whose maximum of NaN and 0 is 0."""
    run = runner(deployable(contract.layout), contract)
    found = outcomes(lambda inputs: {"logits": np.nan_to_num(run(inputs)["logits"])}, contract, recording)
    assert found["NaN in x"] == found["infinity in graph_input"] == "silently wrong"
    assert found["verdict"] == "failed"


def test_artifact_whose_nan_spoils_other_events_fails(recording) -> None:
    run = runner(deployable("dense"), DENSE)

    def spread(inputs: Arrays) -> Arrays:
        logits = run(inputs)["logits"]
        return {"logits": logits + 0 * logits.sum(axis=0)}

    found = outcomes(spread, DENSE, recording)
    assert found["NaN in x"] == "silently wrong"
    assert found["verdict"] == "failed"


def test_artifact_that_rejects_what_is_not_finite_passes(recording) -> None:
    run = runner(deployable("dense"), DENSE)

    def strict(inputs: Arrays) -> Arrays:
        if not all(np.isfinite(array).all() for array in inputs.values()):
            raise ContractError("not finite")
        return run(inputs)

    found = outcomes(strict, DENSE, recording)
    assert found["NaN in x"] == "rejected"
    assert found["verdict"] == "passed"
