"""What the report says of points, properties, inputs outside the contract, and pairs of classes."""

from modelferry.records.summary import SummaryModel, SummaryProbes
from modelferry.records.validation import ClassPair, OutsideCase, PropertyResult, ShapePoint
from modelferry.stages.report import probes
from modelferry.stages.report.blocks import markdown
from report_samples import model, rendered, six, summary


def point(events: int, particles: int, outcome: str = "correct", expected: str = "correct") -> ShapePoint:
    return ShapePoint(
        label=f"events={events}, particles={particles}", sizes={"events": events, "particles": particles},
        events=events, expected=expected, outcome=outcome, max_abs_diff=1e-7 * events,
    )  # fmt: skip


def probed(*points: ShapePoint, outside: tuple[OutsideCase, ...] = ()) -> SummaryProbes:
    return SummaryProbes(
        campaign="charged_higgs", export="onnx", runtime="onnxruntime", models=6, shapes=points, outside=outside
    )


def test_points_are_counted_and_the_wrong_ones_named() -> None:
    good = [point(1, 1), point(8, 1), point(1, 9), point(65, 1, "rejected", "rejected")]
    text = markdown(probes.shapes([probed(*good)]))
    assert "| 4 | 3 | 1 | 0 | 8e-7 at events=8, particles=1 |" in text
    assert "| 65 | rejected | – |" in text
    text = markdown(probes.shapes([probed(*good, point(8, 9, "silently wrong"), point(2, 9, "rejected"))]))
    assert "**2**: `events=8, particles=9`, `events=2, particles=9`" in text
    assert "| 8 | 8e-7 | **silently wrong** |" in text
    assert "| 2 | – | **rejected** |" in text


def test_inputs_outside_the_contract_are_a_table_of_kinds() -> None:
    cases = (
        OutsideCase(kind="another dtype", cases=6, outcome="rejected", detail=""),
        OutsideCase(kind="NaN in x", cases=2, outcome="silently wrong", detail=""),
    )
    text = str(probes.outside([probed(outside=cases)]))
    assert "| another dtype | rejected |" in text
    assert "| NaN in x | **silently wrong** |" in text


def changed(found: SummaryModel, **update: object) -> SummaryModel:
    artifact = found.artifacts[0]
    validation = artifact.validation[0].model_copy(update=update)
    return found.model_copy(update={"artifacts": (artifact.model_copy(update={"validation": (validation,)}),)})


def test_property_that_the_trained_network_violates_is_told_from_the_artifacts_own() -> None:
    def result(outcome: str) -> PropertyResult:
        return PropertyResult(
            name="independent of batch mates", outcome=outcome, trained_change=0.9, artifact_change=0.8
        )

    models = [changed(m, properties=(result("holds"),)) for m in six()]
    assert "| holds | 0.9 |" in str(probes.properties(models)).replace("9e-1", "0.9")
    models[0] = changed(models[0], properties=(result("violated by the network as trained"),))
    text = str(probes.properties(models))
    assert "**violated by the network as trained (1 model); holds (5 models)**" in text
    assert "by the artifact" not in text.splitlines()[-1].replace("change of the artifact", "")


def test_worst_change_of_each_pair_of_classes_is_shown() -> None:
    pairs = [ClassPair(classes=("signal", "ttZ"), trained_auc=0.9, artifact_auc=0.9 + 10.0**-n) for n in (3, 5)]
    models = [changed(model(fold=n), class_pairs=(pair,)) for n, pair in enumerate(pairs)]
    text = str(probes.class_pairs(models))
    assert "signal / ttZ" in text
    assert "1e-3" in text


def test_report_without_probes_has_no_such_sections() -> None:

    page = rendered(summary(six()))["summary.md"]
    assert "Every pair of sizes" not in page
    assert "Inputs outside the contract" not in page
