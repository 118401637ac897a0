"""Family lightning: what it takes from a checkpoint and from the config, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

import tagger_samples
from modelferry.checkpoints.reader import fit
from modelferry.config.file import parse_config
from modelferry.core.errors import CheckpointError, ConfigError, EventFileError, NetworkError
from modelferry.core.network_copy import network_copy
from modelferry.families import load_family
from modelferry.plan import Plan, code_digest, reruns
from tagger_samples import Tagger, UsesTrainer

FAMILY = load_family("lightning")
DECLARED: dict[str, Any] = {
    "class": "tagger_samples:Tagger",
    "inputs": {"x": {"shape": ["events", 3], "features": ["pt", "eta", "mass"]}},
    "outputs": {"logits": ["events", 2]},
}


def write(path: Path, network: nn.Module, /, **content: Any) -> Path:
    torch.save({"pytorch-lightning_version": "2.6.6", "state_dict": network.state_dict(), **content}, path)
    return path


def read(path: Path, **given: Any) -> nn.Module:
    """Return the network of a checkpoint, as the stages read it."""
    known = FAMILY.resolve({**DECLARED, **given}, FAMILY.stated(path))
    network = FAMILY.deployable(known, "inputs")
    network.load_state_dict(fit(FAMILY.load_weights(path, known), network, path))
    return network


def equal(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][n], states[1][n]) for n in states[0])


def test_hyperparameters_are_the_files_and_the_configs_go_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", Tagger(7), hyper_parameters={"hidden": 7, "lr": 0.5, "unknown": 1})
    network = read(path)
    assert (network.hparams["hidden"], network.hparams["lr"]) == (7, 0.5)
    assert read(path, init={"lr": 0.1}).hparams["lr"] == 0.1
    assert read(path, ignore=["lr"]).hparams["lr"] == 1e-3
    with pytest.raises(CheckpointError, match=r"net\.0\.weight \(7, 3\) instead of \(5, 3\)"):
        read(path, init={"hidden": 5})


def test_hyperparameters_that_do_not_shape_the_network_can_be_kept_out_of_the_architecture(tmp_path: Path) -> None:
    for fold in (0, 1):
        write(tmp_path / f"{fold}.ckpt", Tagger(), hyper_parameters={"hidden": 4, "lr": fold / 10})
    campaign = {"family": "lightning", "axes": {"fold": [0, 1]}, "checkpoint": f"{tmp_path}/{{fold}}.ckpt"}
    campaign |= {"formats": ["onnx"], "hyperparameters": DECLARED}
    assert len(Plan(parse_config({"campaigns": {"a": campaign}}, "c")).templates) == 2
    campaign["hyperparameters"] = {**DECLARED, "ignore": ["lr"]}
    assert len(Plan(parse_config({"campaigns": {"a": campaign}}, "c")).templates) == 1


def test_single_argument_that_takes_all_hyperparameters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", Tagger(), hyper_parameters={"hidden": 4}, hparams_name="conf")
    assert FAMILY.stated(path) == {"hyper_parameters": {"conf": {"hidden": 4}}}


def test_hyperparameters_of_classes_are_never_made(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", Tagger(), hyper_parameters={"hidden": 4, "loss": nn.MSELoss()})
    assert FAMILY.stated(path) == {"hyper_parameters": {"hidden": 4}}
    with pytest.raises(CheckpointError, match=r"refused.*'torch\.nn\.modules\.loss\.MSELoss'.*safetensors"):
        read(path)


def test_prefixes_of_torch_compile_are_no_part_of_names(tmp_path: Path) -> None:
    compiled = Tagger(compiled=True)
    assert any("net._orig_mod." in name for name in compiled.state_dict())
    path = write(tmp_path / "a.ckpt", compiled, hyper_parameters={"compiled": True})
    network, plain = read(path), read(path, init={"compiled": False})
    assert equal(network, plain)
    assert not any(isinstance(module, torch._dynamo.eval_frame.OptimizedModule) for module in network.modules())


def test_strict_is_about_tensors_that_the_class_lacks(tmp_path: Path) -> None:
    network = Tagger()
    network.register_buffer("loss_weights", torch.ones(2))
    path = write(tmp_path / "a.ckpt", network)
    with pytest.raises(CheckpointError, match="not expected: loss_weights"):
        read(path)
    assert equal(read(path, strict=False).net, network.net)
    del network.net[3]
    with pytest.raises(CheckpointError, match=r"missing: net\.3\.weight"):
        read(write(tmp_path / "b.ckpt", network), strict=False)


def averaged(network: nn.Module) -> dict[str, torch.Tensor]:
    return {n: t * 3 if t.is_floating_point() else t for n, t in network.state_dict().items()}


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("ema_state_dict", lambda ema: {"ema_state_dict": ema}),
        ("callbacks.EMA.weights", lambda ema: {"callbacks": {"EMA": {"weights": ema, "decay": 0.99}}}),
        ("ema", lambda ema: {"callbacks": {"EMA": {"weights": ema}}}),
        ("ema", lambda ema: {"averaged": {f"module.{n}": t for n, t in ema.items()} | {"n_averaged": torch.ones(())}}),
        ("ema", lambda ema: {"ema": {n: t for n, t in ema.items() if n.endswith(("weight", "bias"))}}),
    ],
)
def test_averaged_weights_come_from_the_place_that_is_asked_for(place: str, content: Any, tmp_path: Path) -> None:
    network = Tagger()
    path = write(tmp_path / "a.ckpt", network, **content(averaged(network)))
    assert equal(read(path), network), "the last step's, unless asked"
    found = read(path, weights=place)
    assert torch.equal(found.net[0].weight, network.net[0].weight * 3)
    assert torch.equal(found.net[3].bias, network.net[3].bias * 3)


def test_averages_in_a_module_of_the_network_replace_what_they_are_averages_of(tmp_path: Path) -> None:
    network = Tagger()
    state = network.state_dict()
    state |= {f"net_ema.module.{n.removeprefix('net.')}": t for n, t in averaged(network).items()}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    found = read(tmp_path / "a.ckpt", weights="net_ema", strict=False)
    assert torch.equal(found.net[0].weight, network.net[0].weight * 3)


def test_lightnings_own_averages_are_its_state_dict(tmp_path: Path) -> None:
    network, last = Tagger(), Tagger()
    extra = {"averaging_state": {"n_averaged": torch.ones(())}, "current_model_state": last.state_dict()}
    path = write(tmp_path / "a.ckpt", network, **extra)
    assert equal(read(path, weights="ema"), network)
    assert equal(read(path, weights="current_model_state"), last)


def test_place_without_weights_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    network = Tagger()
    path = write(tmp_path / "a.ckpt", network, ema_state_dict=averaged(network), swa_averages=averaged(network))
    with pytest.raises(CheckpointError, match="did you mean 'ema_state_dict'"):
        read(path, weights="ema_state_dct")
    with pytest.raises(CheckpointError, match="2 places: ema_state_dict, swa_averages; give `weights:` one of"):
        read(path, weights="ema")
    with pytest.raises(CheckpointError, match="averaged weights at none"):
        read(write(tmp_path / "b.ckpt", network), weights="ema")


def test_properties_that_raise_outside_training_hinder_no_export_and_no_other_module() -> None:
    network, other = Tagger().eval(), Tagger()
    x = torch.randn(5, 3)
    free = network_copy(network)
    assert isinstance(free, Tagger)
    for module in (torch.jit.trace(free, x), torch.jit.script(free)):
        assert torch.equal(module(x), network(x))
    with pytest.raises(RuntimeError, match="not attached to a `Trainer`"):
        _ = other.trainer
    assert LightningModule._jit_is_scripting is False


@pytest.mark.parametrize(
    ("given", "error", "wanted"),
    [
        ({"class": "tagger_samples"}, ConfigError, "is not an import path"),
        ({"class": "tagger_samples:Tager"}, ConfigError, "did you mean 'Tagger'"),
        ({"class": "no_such_module:Tagger"}, ConfigError, "No module named 'no_such_module'"),
        ({"class": "tagger_samples:torch"}, ConfigError, r"is not a torch\.nn\.Module"),
        ({"class": "tagger_samples:Needs"}, ConfigError, r"needs the hyperparameter 'features'.*init: {features: …}"),
        ({"init": {"hiden": 3}}, ConfigError, "did you mean 'hidden'"),
        ({"init": {"hidden": "x"}}, ConfigError, "cannot be made: TypeError"),
        ({"outputs": {"logits": ["events", 3]}}, NetworkError, r"returns 'logits' as float32 \(16, 2\)"),
        (
            {"outputs": {"a": ["events", 2], "b": ["events", 2]}},
            NetworkError,
            "does not return a, b; it returns output",
        ),
        ({"inputs": {"x": ["events", 4]}}, NetworkError, r"cannot be called: RuntimeError.*x \(16, 4\)"),
        ({"inputs": {"x": [4, 3]}}, ConfigError, "the first axis of every input and output must be one named size"),
        ({"inputs": {"x": {"shape": ["events", 3], "dtype": "int64"}}}, ConfigError, "say below which number"),
        ({"inputs": {"x": {"shape": ["events", 3], "kind": 1}}}, ConfigError, r"hyperparameters\.inputs\.x\.kind"),
        ({"dimensions": {"event": [1, 2, 3]}}, ConfigError, "no input has an axis 'event'"),
        ({"dimensions": {"events": [1, 9, 3]}}, ConfigError, "give smallest, typical, largest"),
        ({"class": "tagger_samples:UsesTrainer"}, NetworkError, "not attached to a `Trainer`.*outside training"),
    ],
)
def test_mistakes_are_named_with_the_remedy(given: Any, error: Any, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=wanted) as caught:
        read(write(tmp_path / "a.ckpt", UsesTrainer()), **given)
    assert "\n" not in str(caught.value)
    with pytest.raises(error, match=wanted):
        FAMILY.reference(FAMILY.resolve({**DECLARED, **given}, {}))


def test_code_of_the_class_decides_what_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.ckpt", Tagger())
    source = Path(tagger_samples.__file__).read_text()
    found = []
    for text in (source, source.replace("nn.ReLU()", "nn.GELU()")):
        (tmp_path / "my_tagger.py").write_text(text)
        code_digest.code_of.cache_clear()
        code_digest._read.cache_clear()
        hyperparameters = {**DECLARED, "class": "my_tagger:Tagger"}
        campaign = {"family": "lightning", "axes": {"fold": [0]}, "checkpoint": "a.ckpt", "formats": ["onnx"]}
        plan = Plan(parse_config({"campaigns": {"a": {**campaign, "hyperparameters": hyperparameters}}}, "c"))
        ((_, planned),) = plan.models.items()
        found.append((reruns.validate(planned), reruns.template(planned.template("onnx"))))
    assert all(first != second for first, second in zip(*found, strict=True))


def test_events_may_differ_in_several_declared_sizes() -> None:
    given = {
        "class": "tagger_samples:Tagger",
        "inputs": {"tracks": ["jets", "tracks", 3], "towers": ["jets", "towers", 2]},
        "outputs": {"logits": ["jets", 2]},
        "dimensions": {"tracks": [0, 4, 9]},
    }
    family = FAMILY.configured(FAMILY.resolve(given, {}))
    assert family.sampled == ("jets", "tracks", "towers")
    sizes = [{"jets": 1, "tracks": 2, "towers": 7}, {"jets": 1, "tracks": 5, "towers": 1}]
    inputs = family.collate([event for one in sizes for event in family.sample(one, seed=1)], "inputs")
    assert {name: array.shape for name, array in inputs.items()} == {"tracks": (2, 5, 3), "towers": (2, 7, 2)}
    assert not inputs["tracks"][0, 2:].any()
    assert not inputs["towers"][1, 1:].any()


def test_events_of_different_sizes_are_filled_up_and_read_back(tmp_path: Path) -> None:
    given = {
        "class": "tagger_samples:Tagger",
        "inputs": {"x": ["jets", "tracks", 3], "kind": {"shape": ["jets", "tracks"], "dtype": "int64", "below": 5}},
        "outputs": {"logits": ["jets", 2]},
        "dimensions": {"tracks": [0, 4, 9]},
    }
    family = FAMILY.configured(FAMILY.resolve(given, {}))
    assert (family.batch, family.sizes) == ("jets", ("tracks",))
    events = [family.sample({"jets": 1, "tracks": size}, seed=1)[0] for size in (2, 0, 3)]
    inputs = family.collate(events, "inputs")
    family.contract(FAMILY.resolve(given, {}), "inputs").check(inputs)
    assert [inputs[name].shape for name in ("x", "kind")] == [(3, 3, 3), (3, 3)]
    assert not inputs["x"][0, 2:].any()
    assert np.array_equal(inputs["x"][2], events[2]["x"])
    np.savez(tmp_path / "a.npz", **inputs, labels=np.array([1, 0, 1]))
    found = family.read_events([tmp_path / "a.npz"], FAMILY.resolve(given, {}), 2)
    assert (len(found), found.labels.tolist()) == (2, [1, 0])
    np.savez(tmp_path / "b.npz", x=inputs["x"])
    with pytest.raises(EventFileError, match=r"b\.npz has no array 'kind'"):
        family.read_events([tmp_path / "b.npz"], FAMILY.resolve(given, {}), 2)
