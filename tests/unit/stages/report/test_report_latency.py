"""How latencies of many models are told: those that stand out, and what depends on weights."""

from __future__ import annotations

from modelferry.records.summary import SummaryCertificate, SummaryModel
from modelferry.stages.report.latency import spreads
from report_samples import model, rendered, six, summary, sweep


def slower(found: SummaryModel, times: float) -> SummaryModel:
    artifacts = tuple(
        one.model_copy(
            update={"benchmark": tuple(r.model_copy(update={"p50_ms": times * r.p50_ms}) for r in one.benchmark)}
        )
        for one in found.artifacts
    )
    return found.model_copy(update={"artifacts": artifacts})


def varied() -> list[SummaryModel]:
    return [slower(found, 1 + 0.01 * number) for number, found in enumerate(six())]


def page(models: list[SummaryModel]) -> str:
    return rendered(summary(models))["summary.md"].partition("## Latency")[2].partition("\n## ")[0]


def test_models_of_like_latency_have_no_outliers_and_their_spread_is_told() -> None:
    (spread,) = spreads(varied())
    assert (spread.models, spread.outliers) == (6, ())
    assert 0.01 < spread.middle < 0.03
    assert "No model stands out." in page(varied())


def test_model_that_takes_twice_as_long_stands_out_by_its_name() -> None:
    models = varied()
    models[3] = slower(models[3], 2)
    (spread,) = spreads(models)
    ((name, ratio),) = spread.outliers
    assert name == models[3].id
    assert 1.9 < ratio < 2.1
    assert f"`{models[3].id}`: torchscript in pytorch takes 2 × the median" in page(models).replace("\\", "")


def test_noise_of_a_busy_machine_is_no_outlier() -> None:
    """All models differ by as much, so that none stands out."""
    models = [slower(found, times) for found, times in zip(six(), (1, 1.5, 0.7, 1.2, 0.8, 1.6), strict=True)]
    (spread,) = spreads(models)
    assert spread.outliers == ()


def test_few_models_tell_no_spread() -> None:
    assert spreads(six()[:4]) == []
    assert "stands out" not in page([model()])


def test_certificates_are_listed_with_the_models_that_inherit_them() -> None:
    one = SummaryCertificate(
        architecture="a" * 12, format="onnx", layout="dense", runtime="onnxruntime", status="passed", reason="",
        weight_sets=3, calls=41, outside=9, controls=11, models=6, seconds=12.0,
    )  # fmt: skip
    bad = one.model_copy(update={"runtime": "cpp", "status": "failed", "reason": "weights 0: no", "models": 0})
    made = summary(six()).model_copy(update={"certificates": (one, bad)})
    text = rendered(made)["summary.md"].partition("## Certificates")[2].partition("\n## ")[0]
    first, second = (line for line in text.splitlines() if "onnx" in line)
    assert [cell.strip() for cell in first.split("|")][5:11] == ["passed", "3", "41", "9", "11", "6"]
    assert "**failed**" in second
    assert "weights 0: no" in second
    assert "## Certificates" not in rendered(summary(six()))["summary.md"]


def test_the_load_of_the_machine_is_told_where_others_were_at_work() -> None:
    def timed_at(load: float) -> str:
        rows = [row.model_copy(update={"load_average": load}) for row in sweep("pytorch", 1.0)]
        found = [
            one.model_copy(
                update={"artifacts": tuple(a.model_copy(update={"benchmark": tuple(rows)}) for a in one.artifacts)}
            )
            for one in six()
        ]
        return page(found)

    assert "The load average was 7.50 at most, on 2 cores: others were at work" in timed_at(7.5)
    assert "load average was" not in timed_at(1.5)
