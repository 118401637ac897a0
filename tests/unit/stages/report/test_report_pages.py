"""What the report says, and in which order."""

import re
from pathlib import Path

import jsonschema
import pytest

from modelferry.families import load_family
from modelferry.records.summary import Summary, SummaryModel
from modelferry.stages.report.changes import changes
from modelferry.stages.report.stage import write_report
from report_samples import CONTRACTS, failed, missing, model, rendered, six, summary


def first_page(found: Summary) -> str:
    return rendered(found)["summary.md"]


def headline(found: Summary) -> str:
    return next(line for line in first_page(found).splitlines() if line.startswith("# "))


def test_verdict_is_the_first_line_and_counts_models_and_formats() -> None:
    assert "# Passed: 6 of 6 models validated in 1 format" in first_page(summary(six())).splitlines()[:3]
    assert "6 of 6 models validated in 3 formats" in headline(
        summary(six(formats=("torchscript", "onnx", "aotinductor")))
    )


def test_failures_come_first_with_their_reasons() -> None:
    models = six()
    models[1] = failed(models[1], "7 of 1024 events differ from the reference by up to 0.25")
    models[4] = missing(models[4], "no checkpoint at /data/x.pt; put it there")
    page = first_page(summary(models))
    assert "Failed" in headline(summary(models))
    assert "4 of 6 models" in headline(summary(models))
    reason, lost, channels = (page.index(text) for text in ("by up to 0.25", "no checkpoint at", "## Models"))
    assert reason < channels
    assert lost < channels
    assert page.index(models[1].id) < channels
    assert page.index(models[4].id) < channels


def test_a_control_that_went_unseen_is_said_before_everything_else() -> None:
    found = summary(six(), detected=False)
    assert found.verdict == "failed"
    page = first_page(found)
    assert page.index("edges reversed") < page.index("## Models")
    assert "none of the verdicts below can be trusted" in page


def test_demo_models_are_called_demo_and_others_are_not() -> None:
    assert "for demonstration only" in first_page(summary(six()))
    assert "demonstration" not in first_page(summary(six(demo=False)))


@pytest.mark.parametrize("count", [60, 600])
def test_first_page_of_a_large_campaign_stays_one_page(count: int) -> None:
    models = [
        model(channel, f"MHc{m}", fold) for channel in ("A", "B") for m in range(count // 10) for fold in range(5)
    ]
    pages = rendered(summary(models))
    assert len(pages["summary.md"].splitlines()) < 150
    assert "[" in pages["summary.md"]
    assert all(found.id.split("/", 1)[1].split("/")[1] in pages["charged_higgs.md"] for found in models)


def several() -> list[SummaryModel]:
    return [*six(formats=("torchscript", "onnx")), *six(campaign="other"), *six(campaign="third")]


def test_first_page_of_several_campaigns_stays_one_page_and_links_to_each() -> None:
    pages = rendered(summary(several()))
    assert pages.keys() == {"summary.md", "charged_higgs.md", "other.md", "third.md"}
    assert all(f"]({name})" in pages["summary.md"] for name in pages if name != "summary.md")
    shown = re.sub(r"<details>.*?</details>", "", pages["summary.md"], flags=re.DOTALL)
    assert len(shown.splitlines()) < 100


def test_page_of_a_campaign_has_its_models_and_formats_and_no_other_campaigns() -> None:
    models = several()
    pages = rendered(summary(models))
    for found in models:
        page = f"{found.campaign}.md"
        assert all(artifact.path in pages[page] for artifact in found.artifacts)
        assert not any(
            found.artifacts[0].path in text for name, text in pages.items() if name not in (page, "summary.md")
        )
    assert pages["charged_higgs.md"].count("<summary>onnx, flat layout: Python</summary>") == 1


def test_first_page_of_several_campaigns_shows_how_to_load_what_to_ship_of_each() -> None:
    pages = rendered(summary(several()))
    titles = re.findall(r"<summary>(.*? layout: .*?)</summary>", pages["summary.md"])
    assert titles == [
        "charged_higgs: onnx, flat layout: Python",
        "other: torchscript, flat layout: Python and C++",
    ], "the third campaign has no contract in this sample"
    assert all(f"**{name}**: Ship `" in pages["summary.md"] for name in ("charged_higgs", "other", "third"))


def test_failures_of_a_large_campaign_are_on_the_first_page() -> None:
    models = [model("A", f"MHc{m}", fold) for m in range(100) for fold in range(5)]
    models[250] = failed(models[250], "it differs by 0.31")
    page = rendered(summary(models))["summary.md"]
    assert "it differs by 0.31" in page
    assert models[250].id in page


def test_pipes_in_reasons_do_not_break_tables() -> None:
    models = six()
    models[0] = failed(models[0], "|a - b| is 3 | too much\nsecond line")
    rows = [line for line in first_page(summary(models)).splitlines() if "too much" in line]
    assert rows
    for row in rows:
        if row.startswith("|"):
            assert r"3 \| too much" in row


def test_shows_how_to_load_in_python_and_cpp_with_the_real_names() -> None:
    page = first_page(summary(six()))
    assert "torch.jit.load(" in page
    assert "torch::jit::load(" in page
    assert six()[0].artifacts[0].path in page
    assert all(tensor.name in page for tensor in CONTRACTS["charged_higgs/flat"].inputs)


def test_changes_tell_what_differs_and_nothing_else() -> None:
    before = summary(six())
    assert changes(before, summary(six())) == []
    assert changes(None, before)
    models = six()
    models[2] = failed(models[2], "off")
    text = " ".join(changes(before, summary([*models[:5], model("Run9", "new")], torch="2.14.0")))
    for expected in (models[2].id, six()[5].id, "Run9", "2.14.0", "failed"):
        assert expected in text


def test_written_summary_obeys_its_schema_and_reads_back(tmp_path) -> None:
    found = summary([*six()[:5], missing(six()[5], "no checkpoint")])
    write_report(found, CONTRACTS, None, tmp_path)
    import json

    jsonschema.validate(
        json.loads((tmp_path / "summary.json").read_text()), Summary.model_json_schema(mode="serialization")
    )
    assert Summary.read(tmp_path / "summary.json") == found


def test_pages_and_figures_of_an_earlier_report_go_and_a_users_notes_stay(tmp_path) -> None:
    large = [model("A", f"MHc{m}", fold) for m in range(10) for fold in range(5)]
    write_report(summary(large), CONTRACTS, None, tmp_path)
    (tmp_path / "notes.md").write_text("mine")
    assert (tmp_path / "charged_higgs.md").exists()
    write_report(summary(six(timed=False)), CONTRACTS, None, tmp_path)
    assert not (tmp_path / "charged_higgs.md").exists()
    assert (tmp_path / "notes.md").exists()
    assert not (tmp_path / "figures/latency-by-format.png").exists()


def test_figures_are_the_same_bytes_from_the_same_data_and_take_zeros_and_infinities(tmp_path) -> None:
    models = six(diff=0.0)
    models[0] = failed(models[0], "infinite")
    broken = models[0].artifacts[0].validation[0].model_copy(update={"max_abs_diff": float("inf")})
    models[0] = models[0].model_copy(
        update={"artifacts": (models[0].artifacts[0].model_copy(update={"validation": (broken,)}),)}
    )
    write_report(summary(models), CONTRACTS, None, tmp_path / "a")
    write_report(summary(models), CONTRACTS, None, tmp_path / "b")
    drawn = sorted(path.name for path in (tmp_path / "a/figures").iterdir())
    assert [Path(name).suffix for name in drawn] == [".png", ".svg"] * 4
    for name in drawn:
        first, second = ((tmp_path / run / "figures" / name).read_bytes() for run in ("a", "b"))
        assert first == second
        assert first.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")


def test_runtime_that_is_not_run_says_what_to_install() -> None:
    found = summary(six()).model_copy(update={"runtimes_not_run": {"cpp": "no C++ compiler; install g++ and cmake"}})
    assert "cpp: not run (no C++ compiler; install g++ and cmake)" in first_page(found)
    assert "not run" not in first_page(summary(six()))


@pytest.mark.parametrize("name", ["summary", "README", "embeddings-jets"])
def test_page_of_a_campaign_takes_the_place_of_no_other(name: str) -> None:
    pages = rendered(summary([*six(campaign=name), *six(campaign="jets")]))
    assert pages.keys() == {"summary.md", f"campaign-{name}.md", "jets.md"}


def test_size_of_an_event_is_called_as_the_config_declares_it() -> None:
    declared = {
        "class": "mine:Tagger",
        "inputs": {"hits": {"shape": ["events", "hits", 3]}},
        "outputs": {"score": {"shape": ["events", 2]}},
        "dimensions": {"events": [1, 2, 8], "hits": [1, 20, 40]},
    }
    family = load_family("lightning")
    hyperparameters = family.resolve(declared, {})
    models = [found.model_copy(update={"family": "lightning", "hyperparameters": hyperparameters}) for found in six()]
    page = first_page(summary(models))
    assert "For one event of 20 hits" in page
    assert "| batch | hits | p50" in page
