"""Which models a campaign has: product, include and exclude, lists, tables, and files that are found."""

import glob
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelferry.cli.selection import select
from modelferry.config.axes import natural, path_segment, typed
from modelferry.config.file import parse_config
from modelferry.config.folders import Folders
from modelferry.config.models import Model
from modelferry.core.errors import ConfigError

AXES = {"channel": ["Run1E2Mu", "Run3Mu"], "signal": ["A", "B", "C"], "fold": [0, 1, 2]}
PATTERN = "{channel}/{signal}/fold-{fold}/model-*.pt"
DATA = "<data>"
"""Stands for the folder of the test in configs."""


def config(**changes: Any) -> dict[str, Any]:
    campaign = {"family": "charged_higgs_particlenet", "checkpoint": "none/{fold}.pt", "formats": ["torchscript"]}
    return {"campaigns": {"higgs": {**campaign, **changes}}}


def models(**changes: Any) -> tuple[Model, ...]:
    return parse_config(config(**changes), "x.yaml").models()


def ids(**changes: Any) -> list[str]:
    return [model.id.removeprefix("higgs/") for model in models(**changes)]


def message_of(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        models(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


SELECTIONS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            axis: st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=3))
            for axis, values in AXES.items()
        },
    ).filter(bool),
    max_size=4,
)


@given(include=SELECTIONS, exclude=SELECTIONS)
def test_include_and_exclude_equal_the_set_computed_naively(
    include: list[dict[str, Any]], exclude: list[dict[str, Any]]
) -> None:
    def selects(entry: dict[str, Any], point: dict[str, Any]) -> bool:
        return all(point[axis] in (wanted if isinstance(wanted, list) else [wanted]) for axis, wanted in entry.items())

    points = [dict(zip(AXES, point, strict=True)) for point in itertools.product(*AXES.values())]
    wanted = [
        point
        for point in points
        if (not include or any(selects(entry, point) for entry in include))
        and not any(selects(entry, point) for entry in exclude)
    ]
    if wanted:
        assert [model.axes for model in models(axes=AXES, include=include, exclude=exclude)] == wanted
    else:
        assert "leaves no model" in message_of(axes=AXES, include=include, exclude=exclude)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,4}", fullmatch=True).filter(lambda word: word.lower() != "con")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(wanted=st.sets(st.tuples(NAMES, NAMES, st.integers(0, 120)), min_size=1, max_size=12))
def test_found_models_are_the_files_that_are_there(wanted: set[tuple[str, str, int]], tmp_path: Path) -> None:
    root = tmp_path / "found"
    shutil.rmtree(root, ignore_errors=True)
    for channel, signal, fold in wanted:
        make(root, f"{channel}/{signal}/fold-{fold}/model-x.pt")
    found = models(axes="found", checkpoint=f"{root}/{PATTERN}")
    assert {tuple(model.axes.values()) for model in found} == wanted
    assert len(found) == len(wanted)
    for model in found:
        assert model.checkpoint == "{}/{channel}/{signal}/fold-{fold}/model-x.pt".format(root, **model.axes)
    folds = [
        [model.axes["fold"] for model in group] for _, group in itertools.groupby(found, lambda m: m.id.split("/")[1:3])
    ]
    assert all(of_signal == sorted(of_signal) for of_signal in folds)


PARTS = st.sampled_from(
    ["a", "b", "ab", ".a", "a*", "*", "?", "[ab]", "[!a]*", "**", "a?", ".*", "b[a-c]", "..", "[", "*b*"]
)
TREE = ("a", "b/a", "b/ab", "b/.a/ab", "ab/a/b/ab", "ab/bb", ".a/a", "ab/.b", "b/bc/a", "[")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None)
@given(
    parts=st.lists(PARTS, min_size=1, max_size=4).filter(lambda p: ("**", "..") not in itertools.pairwise(p)),
    absolute=st.booleans(),
)
def test_patterns_match_what_glob_finds(
    parts: list[str], absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "1/2/3/4"  # four times `..` leads to no folder of others
    if not root.exists():
        make(root, *TREE)
        (root / "b/link").symlink_to("../ab")
        (root / "b/broken").symlink_to("nowhere")
    monkeypatch.chdir(root)
    pattern = "/".join([*([str(root)] if absolute else []), *parts])
    assert sorted(Folders().matches(pattern)) == sorted(set(glob.glob(pattern, recursive=True)))  # noqa: PTH207


def test_loop_of_links_ends(tmp_path: Path) -> None:
    make(tmp_path, "a/b/model.pt")
    (tmp_path / "a/b/up").symlink_to("../..")
    assert Folders().matches(f"{tmp_path}/**/model.pt") == [f"{tmp_path}/a/b/model.pt"]


def test_five_files_are_five_models_in_natural_order(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}/model-x.pt" for name in ("Run3Mu/B/fold-10", "Run3Mu/B/fold-9", "Run3Mu/A/fold-2")))
    make(tmp_path, "Run1E2Mu/A/fold-0/model-x.pt", "Run1E2Mu/A/fold-1/model-x.pt", "Run1E2Mu/A/notes/model-x.pt")
    assert ids(axes="found", checkpoint=f"{tmp_path}/{PATTERN}") == [
        "Run1E2Mu/A/fold-0", "Run1E2Mu/A/fold-1", "Run3Mu/A/fold-2", "Run3Mu/B/fold-9", "Run3Mu/B/fold-10",
    ]  # fmt: skip


def test_order_of_the_axes_is_that_of_the_config(tmp_path: Path) -> None:
    make(tmp_path, "b/1.pt", "a/2.pt")
    axes = {"fold": "found", "name": ["b", "a"]}
    assert ids(axes=axes, checkpoint=f"{tmp_path}/{{name}}/{{fold}}.pt") == ["fold-1/b", "fold-2/a"]
    axes = {"name": ["b", "a"], "fold": "found"}
    assert ids(axes=axes, checkpoint=f"{tmp_path}/{{name}}/{{fold}}.pt") == ["b/fold-1", "a/fold-2"]


def test_listed_axes_keep_to_their_values_and_those_not_in_the_path_multiply(tmp_path: Path) -> None:
    make(tmp_path, "Run3Mu/1.pt", "Run3Mu/2.pt", "Other/3.pt")
    axes = {"variant": ["x", "y"], "channel": ["Run3Mu"], "fold": "found"}
    found = models(axes=axes, checkpoint=f"{tmp_path}/{{channel}}/{{fold}}.pt")
    assert [tuple(model.axes.values()) for model in found] == [
        ("x", "Run3Mu", 1), ("x", "Run3Mu", 2), ("y", "Run3Mu", 1), ("y", "Run3Mu", 2),
    ]  # fmt: skip
    assert {model.checkpoint for model in found} == {f"{tmp_path}/Run3Mu/1.pt", f"{tmp_path}/Run3Mu/2.pt"}


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["0", "2", "10"], [0, 2, 10]),
        (["00", "01", "10"], ["00", "01", "10"]),
        (["0.5", "1"], [0.5, 1]),
        (["0.50", "1"], ["0.50", "1"]),
        (["1", "2b"], ["1", "2b"]),
        (["1e5", "nan"], ["1e5", "nan"]),
        (["9" * 30], ["9" * 30]),
    ],
)
def test_numbers_are_numbers_only_if_all_of_an_axis_are_written_as_such(texts: list[str], values: list[Any]) -> None:
    assert list(typed(texts).values()) == values
    assert [type(value) for value in typed(texts).values()] == [type(value) for value in values]


@given(st.lists(st.from_regex(r"[0-9.a-z]{1,6}", fullmatch=True), min_size=1))
def test_values_are_written_again_as_they_were_read(texts: list[str]) -> None:
    assert all(f"{value}" == text for text, value in typed(texts).items())


def test_leading_zeros_stay_in_ids_paths_and_options(tmp_path: Path) -> None:
    make(tmp_path, "w/fold-03.pt", "w/fold-10.pt", "e/03.root")
    found = models(
        axes={"fold": "found"}, checkpoint=f"{tmp_path}/w/fold-{{fold}}.pt", events=f"{tmp_path}/e/{{fold}}.root"
    )
    assert [model.id for model in found] == ["higgs/fold-03", "higgs/fold-10"]
    assert found[0].events == (f"{tmp_path}/e/03.root",)
    assert select(found, (), {"fold": "03"}, False) == [found[0]]


def test_natural_order_counts_and_ids_name_the_axis_of_numbers() -> None:
    assert natural(["fold-10", "fold-2", "b", "a10", "a9"]) == ["a9", "a10", "b", "fold-2", "fold-10"]
    assert natural([10, 2, 0.5]) == [0.5, 2, 10]
    assert [path_segment("era", value) for value in ("2018", 2018, "2016preVFP")] == [
        "era-2018",
        "era-2018",
        "2016preVFP",
    ]


def test_two_files_of_one_model_are_its_failure_with_both_names(tmp_path: Path) -> None:
    make(tmp_path, "0/model-a.pt", "0/model-b.pt", "1/model-a.pt")
    two, one = models(axes="found", checkpoint=f"{tmp_path}/{{fold}}/model-*.pt")
    assert (two.checkpoint, one.missing) == ("", "")
    assert f"{tmp_path}/0/model-a.pt; {tmp_path}/0/model-b.pt" in two.missing


def test_overrides_events_and_embeddings_work_with_found_models(tmp_path: Path) -> None:
    make(tmp_path, "w/0.pt", "w/1.pt", "e/1-a.root", "e/1-b.root", "special.pt")
    zero, one = models(
        axes="found",
        checkpoint=f"{tmp_path}/w/{{fold}}.pt",
        events=f"{tmp_path}/e/{{fold}}-*.root",
        embed={"files": f"{tmp_path}/e/{{fold}}-a.root"},
        overrides=[{"where": {"fold": [0, "1"]}, "hyperparameters": {"hidden": 64}},
                   {"where": {"fold": 0}, "checkpoint": f"{tmp_path}/special.pt"}],
    )  # fmt: skip
    assert (zero.checkpoint, one.checkpoint) == (f"{tmp_path}/special.pt", f"{tmp_path}/w/1.pt")
    assert zero.hyperparameters == one.hyperparameters == {"hidden": 64}
    assert one.events == (f"{tmp_path}/e/1-a.root", f"{tmp_path}/e/1-b.root")
    assert (zero.embed_files, one.embed_files) == ((f"{tmp_path}/e/0-a.root",), (f"{tmp_path}/e/1-a.root",))


def table(folder: Path, text: str | bytes) -> str:
    path = folder / "models.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_table_has_a_model_a_row_with_its_own_files(tmp_path: Path) -> None:
    make(tmp_path, "a.pt", "w/Run3Mu-07.pt", "own.root", "all.root")
    rows = f"channel,fold,checkpoint,events\nRun1E2Mu,03,{tmp_path}/a.pt,{tmp_path}/own.root\nRun3Mu,07,,\n"
    first, second = models(
        models=table(tmp_path, rows), checkpoint=f"{tmp_path}/w/{{channel}}-{{fold}}.pt", events=f"{tmp_path}/all.root"
    )
    assert (first.id, second.id) == ("higgs/Run1E2Mu/fold-03", "higgs/Run3Mu/fold-07")
    assert (first.checkpoint, second.checkpoint) == (f"{tmp_path}/a.pt", f"{tmp_path}/w/Run3Mu-07.pt")
    assert (first.events, second.events) == ((f"{tmp_path}/own.root",), (f"{tmp_path}/all.root",))
    assert parse_config(config(models=table(tmp_path, rows))).axes == ["channel", "fold"]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfname,fold\r\na,1\r\nb,2\r\n",
        b"name,fold\n\na,1\n , \n,\nb,2\n\n\n",
        b'name, fold\n"a",1 \n b, "2"',
        b"name,fold\ra,1\rb,2",
    ],
)
def test_marks_blanks_and_line_ends_of_tables_change_nothing(text: bytes, tmp_path: Path) -> None:
    assert ids(models=table(tmp_path, text)) == ["a/fold-1", "b/fold-2"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "models.csv has no rows"),
        ("name,fold\n\n", "models.csv has no rows"),
        ("name,fold\na,1\nb,2\na,1\n", "models.csv:4: is the model of "),
        ("name,fold\na,1\nb\n", "models.csv:3: has 1 cells, and the header has 2"),
        ("name,fold\na,1\n\nb,2,3\n", "models.csv:4: has 3 cells, and the header has 2"),
        ("name,fold\na,\n", "models.csv:2: 'fold' is empty; fill it in, or remove the row"),
        ("name;fold\na;1\n", "separated by semicolons; save it with commas"),
        ("name\tfold\na\t1\n", "separated by tabs"),
        (",name,fold\n0,a,1\n", "column 1 has no name; name or remove it (pandas: index=False)"),
        ("fold,fold\n1,1\n", "two columns are called 'fold'"),
        ("Run3Mu,0\nRun1E2Mu,1\n", "'0' is no name of an axis; is the first row the header?"),
        ("fold,Checkpoints\n0,a.pt\n", "unknown column 'Checkpoints'; did you mean 'checkpoint'?"),
        ("checkpoint\na.pt\n", "no axes"),
        ("fold,note\n0,looks good\n", "'looks good' cannot be part of a path"),
        ("fold,note\n0,looks good\n", "if 'note' is no axis, remove the column"),
        ("name,fold\n../../etc,1\n", "cannot be part of a path"),
        ("fold,checkpoint\n0,a\0b\n", "models.csv:2: 'checkpoint' has signs that cannot be printed"),
        ('name,fold\na,1\n"b,2\nc,3\n', "models.csv:3: unexpected end of data; is a quote left open?"),
        ("fold,checkpoint\n0,{flod}.pt\n", "models.csv:2: '{flod}.pt': unknown axis 'flod'; did you mean 'fold'?"),
        ("name,fold\na,1\nb\xe9,2\n".encode("latin-1"), "models.csv:3: no UTF-8 text; save it as UTF-8"),
        ("name,fold\na,1\n".encode("utf-16"), "models.csv:1: no UTF-8 text"),
        ("fold\n" + "\n".join(map(str, range(10**6))), "models.csv:100002: more than 100,000 models; split"),
    ],
)  # fmt: skip
def test_damaged_table_is_named_with_row_and_remedy(text: str | bytes, wanted: str, tmp_path: Path) -> None:
    message = message_of(models=table(tmp_path, text))
    assert wanted in message
    assert message.startswith("x.yaml: campaigns.higgs.models: ")


def test_table_that_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is a named pipe" in message_of(models=f"{tmp_path}/pipe.csv")
    assert "is missing; give the path of a CSV" in message_of(models=f"{tmp_path}/none.csv")


def test_list_of_models_needs_a_checkpoint_of_each_or_a_pattern_of_all(tmp_path: Path) -> None:
    make(tmp_path, "a.pt")
    (model,) = models(models=[{"fold": 0, "checkpoint": f"{tmp_path}/a.pt"}], checkpoint="")
    assert (model.id, model.checkpoint) == ("higgs/fold-0", f"{tmp_path}/a.pt")
    assert "model 1 of the list: has no checkpoint" in message_of(models=[{"fold": 0}], checkpoint="")
    text = table(tmp_path, "fold,checkpoint\n0,a.pt\n1,\n")
    assert "models.csv:3: has no checkpoint" in message_of(models=text, checkpoint="")


def test_path_with_signs_of_glob_is_found_as_it_is_written(tmp_path: Path) -> None:
    make(tmp_path, "run[1].pt")
    (model,) = models(models=[{"fold": 0, "checkpoint": f"{tmp_path}/run[1].pt"}])
    assert model.checkpoint == f"{tmp_path}/run[1].pt"


FILES = ("Run1E2Mu/A/fold-0/model-x.pt", "Run3Mu/A/fold-1/model-x.pt", "A_B_3.pt", "bad/fold 3.pt", "twice/x3y.pt")
SOME = {"signal": "found", "fold": "found"}
FOUND = {"axes": "found", "checkpoint": f"{DATA}/{PATTERN}"}


@pytest.mark.parametrize(
    ("changes", "address", "wanted"),
    [
        ({"axes": AXES, "exclude": [{"chanel": "Run3Mu"}]}, "exclude.0", "'chanel'; did you mean 'channel'?"),
        ({"axes": AXES, "exclude": [{"fold": 0}, {"channel": "run3mu"}]}, "exclude.1", "did you mean 'Run3Mu'?"),
        ({"axes": AXES, "include": [{"fold": [0, 5]}]}, "include.0", "axis 'fold' has no value '5'; known: 0, 1, 2"),
        ({"axes": AXES, "exclude": [{"fold": [0, 1, 2]}]}, "exclude", "leaves no model"),
        ({"axes": AXES, "exclude": {"fold": 0}}, "exclude", "give a list of combinations, such as [{fold: 3}]"),
        ({"axes": AXES, "exclude": [{}]}, "exclude.0", "give the values of at least one axis"),
        ({"axes": AXES, "exclude": [{"fold": []}]}, "exclude.0", "is empty"),
        ({"axes": AXES, "exclude": ["Run3Mu"]}, "exclude.0", "give the values of at least one axis"),
        ({"axes": AXES, "exclude": [{"fold": None}]}, "exclude.0", "empty"),
        ({"axes": AXES, "overrides": [{"where": {"fold": {"a": 1}}}]}, "overrides.0.where", "not one value"),
        ({**FOUND, "exclude": [{"channel": "Run3Mu", "fold": 0}]}, "exclude.0", "no model has channel: Run3Mu, fold"),
        ({**FOUND, "overrides": [{"where": {"channel": "Run3Mu", "fold": 0}}]}, "overrides.0.where", "no model has"),
        ({**FOUND, "overrides": [{"where": {"fold": 7}}]}, "overrides.0.where", "has no value '7'; known: 0, 1"),
        ({"axes": {"fold": "0-4"}}, "axes", "give a list, such as [0, 1, 2, 3, …], or the word found"),
        ({"axes": {"fold": 3}}, "axes", "such as [3]"),
        ({"axes": {"fold": "all"}}, "axes", "or the word found"),
        ({"axes": {"fold": "0-1000000000000"}}, "axes", "such as [0, 1, 2, 3, …]"),
        ({"axes": {"run": [True, False]}}, "axes", "YAML reads yes, no, on, off, true and false as True"),
        ({"axes": {"fold": [0, None]}}, "axes", "a value is empty"),
        ({"axes": {"fold": [[0, 1]]}}, "axes", "[0, 1] is not one value"),
        ({"axes": {"fold": [1, 7, "08", "09", 10]}}, "axes", "YAML drops leading zeros; put all in quotes"),
        ({"axes": {"two words": [1]}}, "axes", "not a plain name"),
        ({"axes": {"a": list(range(1000)), "b": list(range(1000)), "fold": [0]}}, "axes", "1,000,000 models, and"),
        ({"axes": {"fold": [0]}, "checkpoint": ""}, "checkpoint", "is missing"),
        ({"axes": {"fold": [0]}, "models": [{"fold": 1}]}, "", "both say which models there are; remove one"),
        ({}, "", "no axes; give at least one"),
        ({"axes": {"fold": "found"}, "checkpoint": "demo"}, "", "a demo has none yet"),
        ({"axes": "found", "checkpoint": "demo"}, "", "no axes"),
        ({"axes": {"a": "found", "fold": "found"}}, "checkpoint", "and 'none/{fold}.pt' has no {a}"),
        ({"axes": "found", "checkpoint": f"{DATA}/{{channel}}/{{fold}}/*.pt"}, "checkpoint", "Run1E2Mu/A is there and"),
        ({"axes": "found", "checkpoint": f"{DATA}/Run3Mu/A/{{fold}}.pt"}, "checkpoint", "is there and holds fold-1"),
        ({"axes": "found", "checkpoint": "/not/there/{fold}.pt"}, "checkpoint", "; / is there and holds "),
        ({"axes": "found", "checkpoint": f"{DATA}/{{channel}}_{{fold}}.pt"}, "checkpoint", "channel is A or A_B"),
        ({"axes": "found", "checkpoint": f"{DATA}/twice/{{a}}{{b}}.pt"}, "checkpoint", "in two ways"),
        ({"axes": "found", "checkpoint": f"{DATA}/bad/fold{{fold}}.pt"}, "checkpoint", "rename it, or narrow"),
        ({"axes": {**SOME, "channel": ["Run2Mu"]}, "checkpoint": f"{DATA}/{PATTERN}"},
         "axes", "no file matches"),
        ({"axes": {**SOME, "channel": ["Run3Mu", "Run4Mu"]}, "checkpoint": f"{DATA}/{PATTERN}"},
         "axes.channel", "with channel 'Run4Mu'; put it there, or remove the value"),
        ({"axes": "found", "checkpoint": f"{DATA}/{{channel}}/fold-{{fold:d}}.pt"}, "checkpoint", "as it is"),
        ({"axes": "found", "checkpoint": f"{DATA}/{{channel"}, "", "{axis}"),
        ({"axes": "found", "checkpoint": f"{DATA}/{{}}.pt"}, "axes", "not a plain name"),
        ({"models": []}, "models", "no models; give at least one"),
        ({"models": {"fold": 0}}, "models", "or the path of a CSV"),
        ({"models": ["a.pt"]}, "models", "or the path of a CSV"),
        ({"models": [{"fold": 0}, {"channel": "a"}]}, "models.1", "has 'channel', and the first one has not"),
        ({"models": [{"fold": 0, "channel": "a"}, {"fold": 1}]}, "models.1", "lacks 'channel'"),
        ({"models": [{"fold": 0}, {"fold": "0"}]}, "models.1", "is the model of model 1 of the list again; remove one"),
        ({"models": [{"fold": 0, "chekpoint": "a.pt"}]}, "models.0", "did you mean 'checkpoint'?"),
        ({"models": [{"fold": [0, 1]}]}, "models.0", "[0, 1] is not one value"),
        ({"models": [{"fold": True}]}, "models.0", "in quotes"),
        ({"models": [{"fold": 0, "checkpoint": 3}]}, "models.0", "checkpoint is 3; give a path"),
        ({"models": [{"fold": 0}], "overrides": [{"where": {"flod": 0}}]}, "overrides.0.where", "did you mean 'fold'?"),
        ({"models": [{"fold": 0}], "events": "{flod}.root"}, "events", "did you mean 'fold'?"),
    ],
)  # fmt: skip
def test_mistake_is_one_line_with_its_address_and_remedy(
    changes: dict[str, Any], address: str, wanted: str, tmp_path: Path
) -> None:
    make(tmp_path, *FILES)
    pattern = changes.get("checkpoint", "none/{fold}.pt").replace(DATA, str(tmp_path))
    if "axes" in changes and changes["axes"] is AXES:
        pattern = f"none/{PATTERN}"
    message = message_of(**{**changes, "checkpoint": pattern})
    assert wanted in message
    assert message.startswith(f"x.yaml: campaigns.higgs{'.' if address else ''}{address}: ")


def test_ambiguity_goes_with_listed_values(tmp_path: Path) -> None:
    make(tmp_path, "A_B_3.pt", "A_B_C_3.pt")
    axes = {"channel": ["A"], "signal": "found", "fold": "found"}
    with pytest.raises(ConfigError, match="in two ways"):
        models(axes="found", checkpoint=f"{tmp_path}/{{channel}}_{{signal}}_{{fold}}.pt")
    found = ids(axes={**axes, "fold": [3]}, checkpoint=f"{tmp_path}/{{channel}}_{{signal}}_{{fold}}.pt")
    assert found == ["A/B/fold-3", "A/B_C/fold-3"]
