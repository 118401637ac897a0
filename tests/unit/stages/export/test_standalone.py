"""Export of a checkpoint by its path: no config, files that are checked before they are left behind."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoint_samples import formula_state, save_checkpoint
from family_samples import HYPERPARAMETERS, SMALL
from modelferry.cli.main import main
from modelferry.core import tolerances
from modelferry.core.errors import ArtifactError
from modelferry.families import family_names, load_family
from modelferry.families.trained import load_checkpoint
from modelferry.formats import CheckedRunner, format_names, load_format
from modelferry.formats.python import Python
from modelferry.stages.export.standalone import StandaloneExport, wanted_formats
from noise_samples import NOISE, named, with_noise

FAMILY = load_family("bytecnn")
SIZES = {**FAMILY.hyperparameters, "embedding": 4, "convolutions": [[5, 3, True], [4, 3, True]], "dense": 6}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a checkpoint; no config."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(4)
    network = FAMILY.reference(SIZES)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(1.5)
    torch.save(network.state_dict(), "my-model.pth")
    return tmp_path


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        assert main(["export", *arguments]) != 0
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert "Traceback" not in captured.err
        return captured.err

    return run


def score(path: str, text: str, **changes: object) -> float:
    network = FAMILY.reference({**SIZES, **changes})
    network.load_state_dict(dict(FAMILY.own_names(torch.load(path, weights_only=True), path)))
    data = torch.tensor([list(text.encode())], dtype=torch.uint8)
    with torch.inference_mode():
        return float(network.double().eval()(data))


def test_default_is_both_json_and_python_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "my-model.pth"]) == 0
    assert {path.name for path in folder.iterdir()} == {"my-model.pth", "my-model.json", "my_model_weights.py"}
    printed = capsys.readouterr().out
    assert "does not tell max_len = 512, pooling = mean_max, eps = 1e-05" in printed
    assert len(re.findall(r"largest difference on \d+ events", printed)) == 2
    assert "warning" not in printed
    module = runpy.run_path("my_model_weights.py")
    info = json.loads(Path("my-model.json").read_text())["model_info"]
    assert module["MODEL_INFO"] == {name: info[name] for name in module["MODEL_INFO"]}
    assert (info["name"], info["version"], info["accuracy"], info["exported"]) == ("my-model", "1.0.0", None, None)
    assert module["predict"]("some text") == pytest.approx(score("my-model.pth", "some text"), abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (["json"], {"my-model.json"}),
        (["python"], {"my_model_weights.py"}),
        (["both"], {"my-model.json", "my_model_weights.py"}),
        (["cpp", "json"], {"my-model.hpp", "my-model.json"}),
    ],
)
def test_formats_are_those_asked_for(asked: list[str], wanted: set[str], folder: Path) -> None:
    options = [word for name in asked for word in ("--format", name)]
    assert main(["export", "my-model.pth", "--output-dir", "new/folder", *options]) == 0
    assert {path.name for path in (folder / "new/folder").iterdir()} == wanted


def test_options_and_checkpoint_say_what_the_network_is(folder: Path) -> None:
    state = torch.load("my-model.pth", weights_only=True)
    torch.save({"model_state_dict": state, "accuracy": 0.7, "version": "0.3", "max_len": 64, "epoch": 7}, "facts.pth")
    options = ["--format", "json", "--name", 'Ünï "x"', "--set", "pooling=mean"]
    assert main(["export", "facts.pth", *options]) == 0
    content = json.loads(Path("facts.json").read_text())
    assert content["architecture"]["max_len"] == 64
    assert content["architecture"]["pooling"] == "mean"
    assert content["model_info"]["name"] == 'Ünï "x"'
    assert (content["model_info"]["version"], content["model_info"]["accuracy"]) == ("0.3", 0.7)
    assert main(["export", "facts.pth", *options, "--version", "2", "--accuracy", ".8", "--time-stamp"]) == 0
    info = json.loads(Path("facts.json").read_text())["model_info"]
    assert (info["version"], info["accuracy"]) == ("2", 0.8)
    assert re.match(r"20\d\d-\d\d-\d\dT", info["exported"])


def test_json_is_exported_again_as_it_was(folder: Path) -> None:
    assert main(["export", "my-model.pth", "--format", "json", "--accuracy", "0.25"]) == 0
    assert main(["export", "my-model.json", "--format", "json", "--output-dir", "again"]) == 0
    assert Path("again/my-model.json").read_bytes() == Path("my-model.json").read_bytes()


def test_module_that_is_another_function_is_not_left_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    body = Python.body
    monkeypatch.setattr(Python, "body", lambda *call: body(*call).replace('pooling="mean_max"', 'pooling="max"'))
    assert fails("my-model.pth").startswith("error: my_model_weights.py is not the network as trained: ")
    assert {path.name for path in folder.iterdir()} == {"my-model.pth", "my-model.json"}


@pytest.mark.parametrize("kind", NOISE)
def test_network_that_makes_noise_is_refused_with_what_makes_it(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    calm = type(FAMILY).reference
    monkeypatch.setattr(type(FAMILY), "reference", lambda *call: with_noise(calm(*call), kind))
    assert named(kind, "Noisy") in fails("my-model.pth")
    assert {path.name for path in folder.iterdir()} == {"my-model.pth"}


def test_file_that_gives_other_outputs_each_time_is_not_left_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    """Its noise is within the tolerance."""
    load, rng = Python.load, np.random.default_rng(1)

    def noisy(self: Python, path: Path, threads: int) -> CheckedRunner:
        run = load(self, path, threads)
        return CheckedRunner(run.contract, lambda inputs: {n: v + 5e-7 * rng.random() for n, v in run(inputs).items()})

    monkeypatch.setattr(Python, "load", noisy)
    message = fails("my-model.pth", "--format", "python")
    assert "is not the network as trained: it gives other outputs for the same inputs" in message
    assert {path.name for path in folder.iterdir()} == {"my-model.pth"}


def test_file_is_held_against_the_tolerance_of_its_format(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = Python.body
    monkeypatch.setattr(Python, "body", lambda *call: body(*call).replace('pooling="mean_max"', 'pooling="max"'))
    loose = {**tolerances.TABLE, ("python", "float32"): tolerances.Tolerance(rtol=0, atol=1e3)}
    monkeypatch.setattr(tolerances, "TABLE", loose)
    assert main(["export", "my-model.pth", "--format", "python"]) == 0


def test_network_that_tells_nothing_apart_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load("my-model.pth", weights_only=True)
    state["output.bias"] -= 30
    torch.save(state, "dull.pth")
    assert main(["export", "dull.pth", "--format", "json"]) == 0
    assert "nearly the same scores for all events" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["missing.pth"], "no checkpoint at missing.pth"),
        (["my-model.pth", "--format", "jason"], "did you mean 'json'?"),
        (["my-model.pth", "--all"], "both a checkpoint and models of the config are chosen"),
        (["my-model.pth", "--accuracy", "79"], "79 is not from 0 to 1"),
        (["my-model.pth", "--set", "max_len"], "'max_len' sets nothing"),
        (["my-model.pth", "--set", "dense=7"], "dense is 7 in the config but 6 in the checkpoint"),
        (["my-model.pth", "--family", "bytecnnn"], "did you mean 'bytecnn'?"),
        ([], "there is no config.yaml"),
    ],
)
def test_mistakes_are_named(arguments: list[str], wanted: str, folder: Path, fails: Callable[..., str]) -> None:
    assert wanted in fails(*arguments)


def test_weights_that_are_not_finite_are_refused(folder: Path, fails: Callable[..., str]) -> None:
    state = torch.load("my-model.pth", weights_only=True)
    state["conv1.weight"][0, 0, 0] = np.nan
    torch.save(state, "nan.pth")
    assert "conv1.weight not finite" in fails("nan.pth")
    assert not Path("nan.json").exists()


def test_checkpoint_of_another_network_shows_the_table(folder: Path, fails: Callable[..., str]) -> None:
    torch.save(torch.nn.Linear(3, 2).state_dict(), "other.pth")
    message = fails("other.pth", "--family", "bytecnn")
    assert "other.pth is not a byte CNN: no conv1.weight" in message
    assert re.search(r"embedding\.weight +– +\(256, E\)", message)


def test_family_is_the_one_that_reads_the_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    family = load_family("image_classifier")
    sizes = {**family.hyperparameters, **HYPERPARAMETERS["image_classifier"]}
    torch.save(family.reference(sizes).state_dict(), "images.pth")
    settings = [word for name in ("size", "mean", "std") for word in ("--set", f"{name}={sizes[name]}")]
    assert main(["export", "images.pth", "--format", "torch_export", *settings]) == 0
    assert Path("images.exported.pt2").is_file()
    assert re.search(r"largest difference on \d+ images", capsys.readouterr().out)


def test_family_without_usual_formats_asks_for_one(folder: Path, fails: Callable[..., str]) -> None:
    torch.save(formula_state(16), "tagger.pth")
    wanted = "tagger.pth is of family charged_higgs_particlenet: no format is given; --format aotinductor, cpp, "
    assert wanted in fails("tagger.pth")


def test_checkpoint_that_fits_no_family_or_several_asks_for_one(
    folder: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torch.nn.Linear(3, 2).state_dict(), "other.pth")
    wanted = "the tensors of other.pth fit no network that modelferry knows by shapes; say which with --family: "
    assert wanted in fails("other.pth")
    for name in ("particlenet", "image_classifier"):
        monkeypatch.setattr(type(load_family(name)), "infer", lambda *_: {"classes": 2})
    assert "fit the networks of image_classifier and particlenet; say which with --family: " in fails("other.pth")


LAYOUTS = [(name, layout) for name in family_names() for layout in SMALL[name].layouts]


def state_of(name: str, seed: int) -> dict[str, torch.Tensor]:
    """Return weights and statistics of a family's small network that follow from a seed."""
    torch.manual_seed(seed)
    state = SMALL[name].reference(SMALL[name].hyperparameters).state_dict()
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in state.items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            noise = torch.rand(tensor.shape, generator=generator) - 0.5
            tensor.add_(noise.abs() if key.endswith("var") else 0.4 * noise)
    return state


@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=str)
def test_every_family_exports_from_its_checkpoint_alone(name: str, layout: str, folder: Path) -> None:
    """What compiles takes minutes: `bench/by_hand.py` has aotinductor too."""
    for seed in (1, 2):
        torch.save(state_of(name, seed), f"{seed}.pth")
    settings = {key: HYPERPARAMETERS[name][key] for key in HYPERPARAMETERS.get(name, ())}
    one, other = (
        StandaloneExport.of(load_checkpoint(f"{seed}.pth", family=name, hyperparameters=settings), layout)
        for seed in (1, 2)
    )
    text = one.contract.inputs[0].dtype == "uint8"
    targets = [load_format(n) for n in format_names() if n != "aotinductor"]
    wanted = wanted_formats([target.name for target in targets if target.general or text], {})
    for written, entry in zip(one.write(wanted, folder / "out"), wanted, strict=True):
        assert written.exact == (entry.target.exactness == "exact")
        assert written.events > 64
        if written.exact:
            with pytest.raises(ArtifactError, match="is not the network as trained: "):
                other.compared(entry.target, written.path, written.path)


def test_options_layout_and_transforms_are_those_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(Path("tagger.pt"))
    arguments = ["tagger.pt", "--format", "torchscript", "--format", "onnx", "--output-dir", "out"]
    options = ["--layout", "dense", "--transform", "fold_batch_norm=off", "--option", "torchscript.method=script"]
    assert main(["export", *arguments, *options]) == 0
    printed = capsys.readouterr().out
    assert "tagger.pt is of family charged_higgs_particlenet, by the names and shapes of its tensors" in printed
    assert load_format("onnx").load(Path("out/tagger.onnx"), 1).contract.layout == "dense"
    assert "bn1.running_mean" in load_format("onnx").read_weights(Path("out/tagger.onnx"))
    assert main(["export", *arguments]) == 0
    assert "note: the files take layout flat; --layout gives dense" in capsys.readouterr().out
    assert "bn1.running_mean" not in load_format("onnx").read_weights(Path("out/tagger.onnx"))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--layout", "dens"], "did you mean 'dense'?"),
        (
            ["--transform", "fold_batchnorm=off"],
            "there is no transform 'fold_batchnorm'; did you mean 'fold_batch_norm'?",
        ),
        (["--option", "isa=avx2"], "none of onnx has an option 'isa'"),
    ],
)
def test_unknown_layouts_transforms_and_options_are_named(
    options: list[str], wanted: str, folder: Path, fails: Callable[..., str]
) -> None:
    save_checkpoint(Path("tagger.pt"))
    assert wanted in fails("tagger.pt", "--format", "onnx", *options)
