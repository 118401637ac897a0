"""Modules of Lightning export during and after training; Lightning's own signatures keep working."""

from __future__ import annotations

import inspect
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import modelferry
from modelferry import ExportMixin
from modelferry.core.errors import ArgumentError

pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")


class Net(ExportMixin, pl.LightningModule):
    """A classifier with hyperparameters, a property that needs a trainer, and a loss that it keeps."""

    def __init__(self, hidden: int = 8, rate: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(nn.Linear(5, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 3))
        self.example_input_array = torch.randn(4, 5)

    @property
    def steps(self) -> int:
        return self.trainer.max_steps

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        self.loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        return self.loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.hparams["rate"])


class Exporter(pl.Callback):
    """Exports after each epoch, as training scripts do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, 0

    def on_train_epoch_end(self, trainer: Any, module: Net) -> None:
        before = torch.get_rng_state()
        state = [(p.grad.clone(), p.grad, p.requires_grad) for p in module.parameters()]
        script, traced = module.to_torchscript(self.folder / "script.pt"), module.to_torchscript(method="trace")
        assert torch.equal(script(module.example_input_array), traced(module.example_input_array))
        assert module.to_onnx(self.folder / "m.onnx", dynamic={0: "batch"}).comparison
        assert module.training
        assert module.trainer is trainer
        assert torch.equal(torch.get_rng_state(), before)
        for (values, grad, required), parameter in zip(state, module.parameters(), strict=True):
            assert parameter.grad is grad
            assert torch.equal(grad, values)
            assert parameter.requires_grad is required
        self.done += 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, Path]:
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(1)
    data = torch.utils.data.TensorDataset(torch.randn(32, 5), torch.randint(0, 3, (32,)))
    network, exporter = Net(hidden=6), Exporter(folder)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[exporter],
        default_root_dir=folder,
    )
    trainer.fit(network, torch.utils.data.DataLoader(data, 8))
    assert exporter.done == 1
    trainer.save_checkpoint(folder / "m.ckpt")
    return network, folder


def test_exports_during_training_are_its_network(trained: tuple[Net, Path]) -> None:
    network, folder = trained
    inputs = torch.randn(7, 5)
    assert modelferry.validate_torchscript_export(network, folder / "script.pt", inputs, 1e-5, 1e-6)
    assert modelferry.validate(network, folder / "m.onnx", inputs)


def test_checkpoint_exports_with_its_hyperparameters(trained: tuple[Net, Path]) -> None:
    network, folder = trained
    for arguments in ({}, {"rate": 0.5}):
        module = modelferry.export_checkpoint_to_torchscript(
            folder / "m.ckpt", folder / "c.pt", Net, method="script", optimize=False, **arguments
        )
        assert torch.equal(module(network.example_input_array), network.eval()(network.example_input_array))
    artifact = modelferry.export_checkpoint(
        folder / "m.ckpt", folder / "c.onnx", Net, inputs=network.example_input_array
    )
    assert modelferry.validate(network, artifact, network.example_input_array)


def test_classes_are_not_patched_and_properties_still_raise() -> None:
    network = Net()
    network.to_torchscript()
    assert pl.LightningModule._jit_is_scripting is False
    assert type(network) is Net
    with pytest.raises(RuntimeError, match="not attached"):
        _ = network.steps


@pytest.mark.parametrize("name", ["to_torchscript", "to_onnx"])
def test_arguments_are_lightnings_in_lightnings_order(name: str) -> None:
    theirs = list(inspect.signature(getattr(pl.LightningModule, name)).parameters.values())
    ours = inspect.signature(getattr(Net, name)).parameters
    positional = [p for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == list(ours)[: len(positional)]
    for parameter in positional[1:]:
        assert ours[parameter.name].default == parameter.default


def test_options_of_pytorchs_exporters_go_to_lightnings_methods(tmp_path: Path) -> None:
    import onnx

    network = Net().eval()
    traced = network.to_torchscript(tmp_path / "a.pt", method="trace", check_trace=False)
    assert (tmp_path / "a.pt").exists()
    assert torch.equal(traced(network.example_input_array), network(network.example_input_array))
    network.to_onnx(tmp_path / "a.onnx", torch.randn(2, 5), input_names=["mine"], dynamo=False)
    assert [value.name for value in onnx.load(tmp_path / "a.onnx").graph.input] == ["mine"]


def test_onnx_goes_into_memory_too() -> None:
    buffer, network = BytesIO(), Net().eval()
    artifact = network.to_onnx(buffer)
    import onnxruntime

    session = onnxruntime.InferenceSession(buffer.getvalue())
    (found,) = session.run(None, {"x": network.example_input_array.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), network(network.example_input_array), rtol=1e-5, atol=1e-6)
    assert artifact(network.example_input_array)["output"].shape == (4, 3)


def test_mixin_serves_any_module_and_says_what_it_lacks(tmp_path: Path) -> None:
    class Plain(ExportMixin, nn.Linear):
        pass

    network, x = Plain(5, 2), torch.randn(3, 5)
    assert network.to_torchscript(example_inputs=x)(x).shape == (3, 2)
    with pytest.raises(ArgumentError, match="no example of its inputs; give one, or set `example_input_array`"):
        network.to_onnx(tmp_path / "m.onnx")
    with pytest.raises(ArgumentError, match="no option 'check_trace'; it has strict, optimize"):
        network.to_torchscript(method="trace", example_inputs=x, check_trace=False)
    with pytest.raises(ArgumentError, match="no file to write"):
        network.to_onnx(input_sample=x)


def test_mixin_behind_lightning_would_do_nothing_and_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"write class Wrong\(ExportMixin, LightningModule\)"):
        type("Wrong", (pl.LightningModule, ExportMixin), {})
