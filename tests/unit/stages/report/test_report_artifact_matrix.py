"""The matrix of largest differences, from the residuals that validations keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.records.residuals import VALUES, differences, largest_difference
from modelferry.records.residuals import pack as packed
from modelferry.records.summary import SummaryComparison
from modelferry.records.validation import Residuals
from modelferry.stages.report.artifact_matrix import FLOAT32, FLOAT64, compare, matrix
from modelferry.stages.report.blocks import markdown
from report_samples import rendered, six, summary


def pack(artifact: np.ndarray, float32: np.ndarray, left_out: np.ndarray) -> Residuals:
    kept = np.flatnonzero(~left_out)
    return packed(artifact[kept].astype(np.float64) - float32[kept], kept, len(artifact))


class Validation:
    """What a comparison reads of a validation."""

    def __init__(self, artifact: np.ndarray, float32: np.ndarray, float64: np.ndarray, runtime: str) -> None:
        self.runtime, self.exactness = runtime, "exact"
        self.sketch = pack(artifact, float32, np.zeros(len(artifact), bool))
        self.max_abs_diff = float(np.abs(artifact.astype(np.float64) - float32).max())
        self.error_float64 = float(np.abs(artifact - float64).max())
        self.reference_error_float64 = float(np.abs(float32 - float64).max())


def outputs(seed: int, events: int = 200, values: int = 4, noise: float = 1e-6) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(events, values))
    return [truth + noise * rng.normal(size=truth.shape) for _ in range(4)]


@given(seed=st.integers(0, 99), values=st.integers(1, 20), noise=st.sampled_from([0.0, 1e-7, 1e-3, 10.0]))
def test_difference_of_two_artifacts_is_that_of_their_outputs(seed: int, values: int, noise: float) -> None:
    first, second, float32, _ = (o.astype(np.float32) for o in outputs(seed, 100, values, noise))
    kept = np.zeros(100, bool)
    found = largest_difference(pack(first, float32, kept), pack(second, float32, kept))
    expected = np.abs(first.astype(np.float64) - second).max()
    assert found == pytest.approx(expected, rel=1e-6)


def test_near_ties_are_left_out_and_what_is_not_a_number_counts_for_nothing_there() -> None:
    first, second, float32, _ = outputs(1)
    tie = np.zeros(200, bool)
    tie[7] = True
    first[7] += 1
    assert largest_difference(pack(first, float32, tie), pack(second, float32, tie)) < 1e-4
    assert largest_difference(pack(first, float32, ~tie), pack(second, float32, ~tie)) > 0.5


def test_of_many_outputs_evenly_spread_events_are_kept() -> None:
    artifact = np.arange(50_000, dtype=np.float32).reshape(5_000, 10)
    found = pack(artifact, np.zeros_like(artifact), np.zeros(5_000, bool))
    rows = differences(found)
    assert len(rows) == VALUES // 10
    assert rows[0, 0] == 0
    assert rows[-1, -1] == 49_999
    assert np.ptp(np.diff(rows[:, 0])) <= 10
    assert len(pack(artifact[:100], artifact[:100], np.zeros(100, bool)).differences) < 100


def test_artifacts_on_other_events_are_not_compared() -> None:
    first, second, float32, _ = outputs(1)
    kept = np.zeros(200, bool)
    assert largest_difference(pack(first, float32, kept), pack(second[:100], float32[:100], kept[:100])) is None


def test_matrix_has_every_pair_and_the_worst_of_all_models() -> None:
    models, expected = [], {}
    for seed in (1, 2, 3):
        first, second, float32, float64 = outputs(seed, noise=10.0**-seed)
        one, other = Validation(first, float32, float64, "pytorch"), Validation(second, float32, float64, "ort")
        models.append([("a", one), ("b", other)])
        named = {FLOAT64: float64, FLOAT32: float32, "a in pytorch": first, "b in ort": second}
        for x in named:
            for y in named:
                expected[x, y] = max(expected.get((x, y), 0), np.abs(named[x] - named[y]).max())
    found = compare("c", models)
    assert len(found) == 6
    assert {one.models for one in found} == {3}
    for one in found:
        assert one.max_abs_diff == pytest.approx(expected[one.first, one.second], rel=1e-5), (one.first, one.second)
    text = markdown(matrix(found))
    assert "over 3 models" in text
    assert sum(line.startswith("| ") for line in text.splitlines()) == 6


def test_matrix_stands_on_the_page_of_its_campaign() -> None:
    pair = SummaryComparison(campaign="charged_higgs", first="a", second="b", max_abs_diff=7.7e-5, models=6)
    large = [six()[0].model_copy(update={"id": f"charged_higgs/A/s/fold-{n}"}) for n in range(30)]
    for models, page in ((six(), "summary.md"), (large, "charged_higgs.md")):
        found = summary(models).model_copy(update={"comparisons": (pair,)})
        pages = rendered(found)
        assert [name for name, text in pages.items() if "7.7e-5" in text] == [page]
