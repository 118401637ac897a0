import argparse
import collections
import contextlib
import functools
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from checkpoint_samples import formula_state
from modelferry.checkpoints.reader import fit, load_state_dict, without_prefixes
from modelferry.checkpoints.shapes import read_shapes
from modelferry.core.errors import CheckpointError
from modelferry.families import load_family
from modelferry.families.charged_higgs_particlenet.flat import FlatParticleNet
from modelferry.families.hyperparameters import infer_hyperparameters
from sheets import third_party

STATE = formula_state(16)
State = Mapping[str, torch.Tensor]


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in STATE.items()}


def lightning() -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": collections.OrderedDict(prefixed("model.")),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3}]}],
        "lr_schedulers": [],
        "hyper_parameters": {"hidden": 16},
    }


def parameters() -> collections.OrderedDict[str, torch.Tensor]:
    return collections.OrderedDict(
        (key, torch.nn.Parameter(value) if value.is_floating_point() else value) for key, value in STATE.items()
    )


CONTENTS: dict[str, Any] = {
    "bare": STATE,
    "ordered": collections.OrderedDict(STATE),
    "parameters": parameters(),
    "model_state_dict": {"model_state_dict": STATE, "val_loss": 0.3, "best_loss": 0.2, "epoch": 0},
    "state_dict": {"state_dict": STATE, "best_prec1": 91.78},
    "module": prefixed("module."),
    "mod": prefixed("mod."),
    "both prefixes": {"state_dict": prefixed("module.mod.")},
    "lightning": lightning(),
}
WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "zip": lambda content, path: torch.save(content, path),
    "stream": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
}


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def network() -> torch.nn.Module:
    return FlatParticleNet(16)


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in load_state_dict(path).items()}


@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_weights_arrive_exactly_from_any_structure(content: str, writer: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    WRITERS[writer](CONTENTS[content], path)
    fitted = fit(load_state_dict(path), network(), path)
    assert equal(fitted, STATE)
    network().load_state_dict(fitted, strict=True)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_shapes_are_those_that_torch_reads(content: str, writer: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    WRITERS[writer](CONTENTS[content], path)
    assert read_shapes(path) == shapes_of(path)
    assert infer_hyperparameters(load_family("charged_higgs_particlenet"), read_shapes(path)) == {"hidden": 16}


def test_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(prefixed("module."), path, metadata={"format": "pt"})
    assert equal(fit(load_state_dict(path), network(), path), STATE)
    assert read_shapes(path) == shapes_of(path)


def test_checkpoint_saved_on_another_device_or_with_other_strides_has_the_same_shapes(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a.weight": torch.arange(12.0).view(3, 4).T, "b": torch.tensor(1), "c": torch.empty(0, 2)}, path)
    assert read_shapes(path) == {"a.weight": (4, 3), "b": (), "c": (0, 2)} == shapes_of(path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_half_and_double_precision_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({key: value.to(dtype) if value.is_floating_point() else value for key, value in STATE.items()}, path)
    assert read_shapes(path) == {key: tuple(value.shape) for key, value in STATE.items()}
    fitted = fit(load_state_dict(path), network(), path)
    assert all(torch.equal(fitted[key], STATE[key].to(dtype).to(STATE[key].dtype)) for key in STATE)


def test_missing_batch_counters_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({key: value for key, value in STATE.items() if not key.endswith("num_batches_tracked")}, path)
    fitted = fit(load_state_dict(path), network(), path)
    assert equal(fitted, STATE)


class RunsCode:
    """A pickle of this touches a file when it is read."""

    def __init__(self, mark: Path, function: Callable[..., Any] = os.system, command: str = "touch {}") -> None:
        self.function, self.argument = function, command.format(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, (self.argument,)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("inside", [True, False])
def test_pickle_that_would_run_code_is_refused_and_its_global_named(writer: str, inside: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt", tmp_path / "ran"
    evil = RunsCode(mark)
    WRITERS[writer]({"state_dict": STATE, "extra": evil} if inside else evil, path)
    with pytest.raises(CheckpointError, match=r"refused: .*'(posix|os)\.system'") as caught:
        load_state_dict(path)
    assert "\n" not in str(caught.value)
    try:
        read_shapes(path)
    except CheckpointError:
        assert not inside
    assert not mark.exists()


def test_plain_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"state_dict": STATE, "x": RunsCode(mark)}))
    with pytest.raises(CheckpointError):
        load_state_dict(path)
    with pytest.raises(CheckpointError):
        read_shapes(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (functools.partial(print), "functools.partial"),
        (FlatParticleNet(16), "FlatParticleNet"),
    ],
)
def test_class_that_would_be_imported_is_refused_and_named(what: Any, named: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"state_dict": STATE, "args": what}, path)
    with pytest.raises(CheckpointError, match=named) as caught:
        load_state_dict(path)
    assert "model.state_dict()" in str(caught.value)
    assert read_shapes(path) == {key: tuple(value.shape) for key, value in STATE.items()}


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "text": b"this is not a checkpoint\n" * 20,
    "zeros": bytes(1000),
    "html": b"<!DOCTYPE html><html>404</html>",
    "number": pickle.dumps(17),
    "list": pickle.dumps([1, 2]),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", GARBAGE)
def test_file_that_is_no_checkpoint_is_named(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(GARBAGE[name])
    for read in (load_state_dict, read_shapes):
        with pytest.raises(CheckpointError, match=str(path)) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [7, [STATE], {}, {"epoch": 3, "loss": 0.1}, {"state_dict": {}}, torch.ones(3)])
def test_checkpoint_without_a_state_dict_says_what_it_holds(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_state_dict(path)
    with pytest.raises(CheckpointError):
        read_shapes(path)


def test_zip_that_torch_did_not_write_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    for read in (load_state_dict, read_shapes):
        with pytest.raises(CheckpointError, match=str(path)):
            read(path)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(CheckpointError, match=str(path)):
            load_state_dict(path)
        with pytest.raises(CheckpointError):
            read_shapes(path)


class Files(dict[str, bytes]):
    """Bytes by kind of file; short in a message."""

    def __repr__(self) -> str:
        return "…"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("whole")
    small = {"state_dict": {"output.weight": torch.ones(4, 8), "output.bias": torch.zeros(4)}, "epoch": 1}
    for name, write in WRITERS.items():
        write(small, folder / name)
    save_file(small["state_dict"], folder / "safetensors")
    return Files({path.name: path.read_bytes() for path in folder.iterdir()})


@pytest.mark.parametrize("kind", [*WRITERS, "safetensors"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.99))
def test_truncated_file_is_named_and_never_half_read(kind: str, share: float, written: Files, tmp_path: Path) -> None:
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "model.pt")
    path.write_bytes(written[kind][: int(share * len(written[kind]))])
    with pytest.raises(CheckpointError, match=str(path)):
        load_state_dict(path)


@pytest.mark.parametrize("kind", [*WRITERS, "safetensors"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1), byte=st.integers(1, 255))
def test_damaged_file_raises_nothing_but_a_checkpoint_error(
    kind: str, position: float, byte: int, written: Files, tmp_path: Path
) -> None:
    content = bytearray(written[kind])
    content[min(int(position * len(content)), len(content) - 1)] ^= byte
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "model.pt")
    path.write_bytes(content)
    for read in (load_state_dict, read_shapes):
        with contextlib.suppress(CheckpointError):
            read(path)


def changed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    merged = {**STATE, **{key.replace("__", "."): value for key, value in changes.items()}}
    return {key: value for key, value in merged.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (changed(output__bias=None), ["missing: output.bias"]),
        (changed(extra__weight=torch.ones(2)), ["not expected: extra.weight"]),
        (changed(output__weight=torch.ones(5, 16)), ["output.weight (5, 16) instead of (4, 16)"]),
        (changed(output__weight=torch.ones(64)), ["output.weight (64,) instead of (4, 16)"]),
        ({"layer.weight": torch.ones(3, 3)}, ["not expected: layer.weight", "missing: gn0.weight", "and 88 more"]),
    ],
)
def test_weights_that_do_not_fit_name_keys_and_shapes(state: State, wanted: list[str], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(CheckpointError) as caught:
        fit(state, network(), path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert "FlatParticleNet has 108 tensors" in text
    for part in wanted[:-1] if wanted[-1].startswith("and") else wanted:
        assert part in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["conv2.mlp.4.weight", "bn0.running_var", "output.bias"])
def test_weights_that_are_not_finite_are_named(key: str, value: float, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in STATE.items()}
    state[key].view(-1)[-1] = value
    with pytest.raises(CheckpointError, match=rf"{key} not finite"):
        fit(state, network(), tmp_path / "model.pt")


def test_prefix_is_removed_only_if_all_keys_share_it() -> None:
    assert list(without_prefixes({"module.a": 1, "b": 2})) == [{"module.a": 1, "b": 2}]
    assert list(without_prefixes({"module.mod.a": 1}))[-1] == {"a": 1}
    assert list(without_prefixes({})) == [{}]


REAL = {
    "particle_transformer/ParticleNet_full.pt": (81, "mod."),
    "particle_transformer/ParticleNet_kin.pt": (81, "mod."),
    "pytorch_resnet_cifar10/resnet20-12fca82f.th": (97, "module."),
    "gnn_mineral_segmentation/model.ckpt": (None, ""),
    "jetnet/pnet_state_dict.pt": (None, ""),
}


@pytest.mark.parametrize("name", REAL)
def test_real_checkpoints_are_read_and_their_shapes_agree(name: str) -> None:
    path = third_party(name)
    state = load_state_dict(path)
    count, prefix = REAL[name]
    assert count in (None, len(state))
    assert all(key.startswith(prefix) for key in state)
    assert all(tensor.device.type == "cpu" for tensor in state.values())
    assert read_shapes(path) == {key: tuple(value.shape) for key, value in state.items()}


def test_real_checkpoint_of_another_network_does_not_fit() -> None:
    path = third_party("jetnet/pnet_state_dict.pt")
    with pytest.raises(CheckpointError, match="is it another network's"):
        fit(load_state_dict(path), FlatParticleNet(128), path)


def test_torchscript_archive_is_refused_as_a_checkpoint() -> None:
    path = third_party("coffea/pn_test_model.pt")
    with pytest.raises(CheckpointError, match=str(path)):
        load_state_dict(path)
