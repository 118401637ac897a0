"""An export leaves everything but its file as it was: the network, the process, the folder of temporary files."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

import modelferry
from api_samples import SAMPLES, Shared
from modelferry import export_to_torchscript
from modelferry.core.errors import ControlFlowError, ModelferryError, NetworkError
from modelferry.core.network_copy import network_copy

X = torch.randn(4, 5)
FAST = ("torchscript", "torch_export", "onnx")


class Fickle(nn.Module):
    """Decides by values, once it is told to; has a property that raises, and one that `forward` needs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3)
        self.dropout = nn.Dropout(0.5)
        self.fails = False

    @property
    def trainer(self) -> object:
        raise RuntimeError("not attached")

    @property
    def gain(self) -> float:
        return 2.0

    def forward(self, x: Tensor) -> Tensor:
        if self.fails and x.sum() > 0:
            return x
        return self.dropout(self.linear(x)) * self.gain


def state(network: nn.Module) -> list[object]:
    """Return all that must not change, in a form that can be compared."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return [
        [
            (name, module.training, type(module), dict(module._forward_hooks))
            for name, module in network.named_modules()
        ],
        [
            (name, id(t), t.requires_grad, t.device, t._version, t.detach().clone().numpy().tobytes())
            for name, t in tensors
        ],
        [None if p.grad is None else (id(p.grad), p.grad.numpy().tobytes()) for p in network.parameters()],
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        random.getstate(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        list(warnings.filters),
    ]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(
    ("format", "training", "fails"),
    [(format, training, fails) for format in FAST for training, fails in ((True, False), (False, True))],
    ids=str,
)
def test_network_and_process_are_as_before(
    format: str, training: bool, fails: bool, tmp_path: Path, temporary: Path
) -> None:
    network = Fickle().train(training)
    network(X).sum().backward()
    network.linear.bias.requires_grad_(False)
    network.fails = fails
    modelferry.export(Fickle(), tmp_path / "warm", format=format, inputs=X)  # caches of PyTorch are filled once
    members = dict(vars(Fickle))
    before = state(network)
    if fails:
        with pytest.raises(ControlFlowError):
            modelferry.export(network, tmp_path / "m", format=format, inputs=X)
        assert not (tmp_path / "m").exists()
    else:
        modelferry.export(network, tmp_path / "m", format=format, inputs=X)
    assert state(network) == before
    assert dict(vars(Fickle)) == members
    assert type(network) is Fickle
    with pytest.raises(RuntimeError, match="not attached"):
        _ = network.trainer
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["temporary", "warm", *([] if fails else ["m"])])
    left = [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]
    assert left == []


@pytest.mark.parametrize("method", ["trace", "script"])
def test_network_with_raising_properties_and_results_of_training(method: str) -> None:
    network = Fickle()
    network.last = network(X).sum()  # cannot be copied by PyTorch
    network.history = [network.last]
    module = export_to_torchscript(network, None, X, method=method)
    torch.testing.assert_close(module(X), network.eval()(X), rtol=1e-6, atol=1e-6)


def test_what_cannot_be_copied_is_named() -> None:
    network = nn.Sequential(nn.Linear(5, 2))
    network[0].lock = threading.Lock()
    with pytest.raises(NetworkError, match=r"'0\.lock' of the network cannot be copied: .*; keep it outside"):
        export_to_torchscript(network, None, X)


def test_wrappers_are_left_behind() -> None:
    inner = nn.Sequential(nn.Linear(5, 4), torch.compile(nn.Linear(4, 3)))
    for network in (torch.compile(inner), nn.DataParallel(torch.compile(inner))):
        module = export_to_torchscript(network, None, X, optimize=False)
        assert list(module.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
        torch.testing.assert_close(module(X), inner[1]._orig_mod(inner[0](X)))
    compiled = nn.Linear(5, 2)
    compiled.compile()
    assert export_to_torchscript(compiled, None, X)(X).shape == (4, 2)


def test_each_name_has_a_weight_of_its_own() -> None:
    network = Shared(3)
    copy = network_copy(network)
    places = [tensor.data_ptr() for tensor in copy.state_dict().values()]
    assert len(set(places)) == len(places) == len(network.state_dict())
    assert network.again is network.first
    assert network.decode.weight is network.encode.weight


def test_what_is_saved_is_what_is_returned(tmp_path: Path) -> None:
    network = SAMPLES["cnn"].network(3, 1)
    inputs = SAMPLES["cnn"].inputs(2, 1)
    returned = export_to_torchscript(network, tmp_path / "m.pt", inputs)
    saved = modelferry.load_torchscript(tmp_path / "m.pt")
    assert torch.equal(returned(*inputs), saved(*inputs))
    assert str(returned.inlined_graph) == str(saved.inlined_graph)
    assert list(returned.parameters()) == []  # frozen
    kept = export_to_torchscript(network, None, inputs, optimize=False)
    for name, tensor in network.state_dict().items():
        assert torch.equal(kept.state_dict()[name], tensor)
    assert torch.equal(kept(*inputs), network.eval()(*inputs))


def test_four_threads_export_at_once(tmp_path: Path, temporary: Path) -> None:
    names = ["mlp", "cnn", "dict output", "buffers"]
    filters = list(warnings.filters)

    def work(number: int) -> bool:
        name, format = names[number % 4], FAST[number % 3]
        sample = SAMPLES[name]
        network, inputs = sample.network(3, 1), sample.inputs(3, 1)
        path = tmp_path / f"{number}"
        if number % 5 == 4:
            with pytest.raises(ModelferryError):
                modelferry.export(network, path, format=format, inputs=())
            return True
        modelferry.export(network, path, format=format, inputs=inputs)
        return bool(modelferry.validate(network, modelferry.load(path, format=format), inputs))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(12)))
    assert warnings.filters == filters
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")] == []


def memory() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


@pytest.mark.parametrize("export", [lambda n, p: export_to_torchscript(n, p, X)], ids=["torchscript"])
def test_many_exports_leave_nothing(export: Callable[[nn.Module, Path | None], object], temporary: Path) -> None:
    """`bench/leaks.py` does it two hundred times, for each format."""
    network = SAMPLES["mlp"].network(9, 1)
    for _ in range(10):
        export(network, None)
    before = memory()
    for _ in range(50):
        export(network, None)
    assert memory() - before < 0.05 * before
    assert list(temporary.iterdir()) == []


def test_graph_with_free_sizes_goes_with_its_artifact(tmp_path: Path) -> None:
    """Torch keeps them by a cycle that Python cannot see; `bench/leaks.py` measures what is left."""
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    def alive() -> int:
        gc.collect()
        return sum(type(thing) is ShapeEnv for thing in gc.get_objects())

    network = SAMPLES["mlp"].network(9, 1)
    modelferry.export(network, tmp_path / "model.exported.pt2", inputs=X, dynamic={0: "batch"})
    before = alive()
    for _ in range(2):
        modelferry.export(network, tmp_path / "model.exported.pt2", inputs=X, dynamic={0: "batch"})
    assert alive() == before


def test_importing_is_quick_and_needs_no_torch() -> None:
    timed = "t = time.perf_counter(); import modelferry; print(time.perf_counter() - t, 'torch' in sys.modules)"
    code = f"import sys, time; {timed}"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    seconds, torch_imported = said.stdout.split()
    assert float(seconds) < 0.3
    assert torch_imported == "False"


def test_every_public_name_is_there_and_documented() -> None:
    for name in modelferry.__all__:
        assert name in dir(modelferry)
        assert name == "__version__" or getattr(modelferry, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = modelferry.nothing
