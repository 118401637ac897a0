"""Any two files, of anyone: right ones are the same, wrong ones are not, and what is missing is asked for."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import modelferry
from checkpoint_samples import formula_state, save_checkpoint
from family_samples import HYPERPARAMETERS, SMALL
from modelferry.cli.main import main
from modelferry.core.errors import ArgumentError, ModelferryError, NetworkError

HIGGS = SMALL["charged_higgs_particlenet"]
FEW = 40


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A foreign folder with a blank in its path."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield folder


class Tagger(nn.Module):
    """Particles (events, particles, 9) to four numbers."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.last = nn.Linear(9, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu().mean(1))


def traced(network: nn.Module, inputs: Sequence[Tensor], path: str) -> str:
    torch.jit.save(torch.jit.trace(network.eval(), tuple(inputs), check_trace=False), path)
    return path


def to_onnx(network: nn.Module, inputs: Sequence[Tensor], path: str, free: Any = None, **names: Any) -> str:
    torch.onnx.export(network.eval(), tuple(inputs), path, dynamo=True, dynamic_shapes=free, verbose=False, **names)
    return path


X = torch.randn(4, 5, 9, generator=torch.Generator().manual_seed(3))
FREE = ({0: torch.export.Dim("events", max=64), 1: torch.export.Dim("particles", max=40)},)


def state_of(name: str) -> dict[str, Tensor]:
    """Return weights and statistics of a family's reference that follow from a seed."""
    torch.manual_seed(5)
    state = SMALL[name].reference(SMALL[name].hyperparameters).state_dict()
    generator = torch.Generator().manual_seed(5)
    for key, tensor in state.items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            noise = torch.rand(tensor.shape, generator=generator) - 0.5
            tensor.add_(noise.abs() if key.endswith("var") else 0.4 * noise)
    return state


@pytest.mark.parametrize(("name", "layout"), [(name, layout) for name in SMALL for layout in SMALL[name].layouts])
def test_plain_exports_of_a_demo_network_are_the_same(name: str, layout: str) -> None:
    family, sizes = SMALL[name], SMALL[name].hyperparameters
    contract = family.contract(sizes, layout)
    network = family.deployable(sizes, layout)
    network.load_state_dict(dict(family.convert(state_of(name), sizes, layout)))
    example = family.collate(family.sample(family.call_sizes(contract), 3), layout)
    inputs = [torch.from_numpy(example[tensor.name]) for tensor in contract.inputs]
    dims = {d.name: torch.export.Dim(d.name, min=d.minimum, max=d.maximum) for d in contract.dimensions}
    free = tuple({a: dims[s] for a, s in enumerate(t.shape) if isinstance(s, str)} for t in contract.inputs)
    files = traced(network, inputs, "n.pt"), to_onnx(
        network, inputs, "n.onnx", free, input_names=[t.name for t in contract.inputs]
    )  # fmt: skip
    torch.save(state_of(name), "checkpoint.pth")
    settings = {key: value for key, value in sizes.items() if key in HYPERPARAMETERS.get(name, ())}
    assert modelferry.compare(*files, family=name, hyperparameters=settings, events=FEW)
    found = modelferry.compare("checkpoint.pth", files[1], family=name, hyperparameters=settings, events=FEW)
    assert found, found
    assert found.outputs[0].events > FEW
    assert not np.isnan(found.outputs[0].error)
    if layout not in ("flat", "raw"):  # integers without a range, and momenta without: the graph does not tell them
        assert modelferry.compare(*files, events=FEW)
    state = state_of(name)
    weight = [value for value in state.values() if value.dim() > 1][-1]
    weight[0] *= 1.01  # a single one may belong to a unit that never fires
    torch.save(state, "other.pth")
    assert not modelferry.compare("other.pth", files[0], family=name, hyperparameters=settings, events=FEW)


class FrozenGraph(nn.Module):
    """The network whose three layers use the edges of the input, traced for one event, as others have shipped it."""

    def __init__(self) -> None:
        super().__init__()
        approximation = frozenset({"static_edges"})
        self.network = HIGGS.deployable({"hidden": 16}, "flat", approximation)
        self.network.load_state_dict(dict(HIGGS.convert(formula_state(16), {"hidden": 16}, "flat", approximation)))

    def forward(self, x: Tensor, edge_index: Tensor, graph_input: Tensor) -> Tensor:
        return self.network(x, edge_index, graph_input[:1], torch.zeros(x.shape[0], dtype=torch.int64))[:1]


def test_network_with_a_frozen_graph_is_not_its_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(Path("net.pt"))
    event = HIGGS.collate(HIGGS.sample({"events": 1, "particles": 20}, 1), "flat")
    inputs = [torch.from_numpy(event[name]) for name in ("x", "edge_index", "graph_input")]
    traced(FrozenGraph(), inputs, "shipped.pt")
    assert main(["compare", "net.pt", "shipped.pt", "--events", "50"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("different: 'logits': ")
    assert "family charged_higgs_particlenet" in printed
    assert "shipped.pt takes one event a call: 2 events give 'output' [1, 4]" in printed
    assert "shipped.pt does not take batch" in printed
    found = modelferry.compare("net.pt", "shipped.pt", events=50)
    (output,) = found.outputs
    assert output.max_abs > 0.05
    assert len(output.worst) == 5
    assert all(event.max_abs > 0.01 for event in output.worst)
    five = ["--range", "events=1,1", "--range", "nodes=1,5"]  # each pair of up to five particles is an edge
    assert main(["compare", "net.pt", "shipped.pt", "--events", "50", *five]) == 0
    assert main(["compare", "net.pt", "shipped.pt", "--range", "particles=1,5"]) == 2  # in no list of particles
    assert "--range particles: there is no such axis" in capsys.readouterr().err


class Token(nn.Module):
    """A token beside each event's particles; a trace keeps the number of events that it saw."""

    def forward(self, x: Tensor) -> Tensor:
        token = torch.ones(1, 1, 9).expand(len(x), -1, -1)
        return torch.cat([token, x], dim=1).sum(1)


def test_file_that_takes_one_number_of_events_is_said_to_refuse_others_and_why() -> None:
    traced(Token(), [X], "four.pt")
    shapes = {"x": ("events", "particles", 9)}
    found = modelferry.compare(Token().eval(), "four.pt", shapes=shapes, events=FEW)
    assert re.fullmatch(r"it refuses .*: unexpected RuntimeError: Sizes of tensors must match.*", found.reason)
    two = modelferry.compare("four.pt", "four.pt", shapes=shapes, ranges={"events": (3, 4)}, events=FEW)
    assert two
    (line,) = [line for line in str(two).splitlines() if "the reference itself fails" in line]
    assert "fails: events=3, particles=1; events=3, particles=2; events=3, particles=3; …: unexpected" in line


class Nearest(nn.Module):
    """The mean of each particle's two nearest ones, through a linear layer; distances in one of two orders of sums."""

    def __init__(self, products: bool, seed: int = 2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.products, self.last = products, nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.products:
            squares = (x * x).sum(-1)
            distance = squares[:, :, None] + squares[:, None] - 2 * x @ x.transpose(1, 2)
        else:
            distance = (x[:, :, None] - x[:, None]).square().sum(-1)
        index = (distance + 1e9 * torch.eye(x.shape[1])).topk(2, largest=False).indices
        near = torch.take_along_dim(x[:, None].expand(-1, x.shape[1], -1, -1), index[..., None], dim=2).mean(2)
        return self.last(torch.cat([x, near], -1)).mean(1)


def tied_events(total: int, ties: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(total, 6, 3)).astype(np.float32)
    for event in x[:: total // ties]:
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        far = 0.1 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]]) @ turn
        event[:] = event[:1] + far
    return x


def test_near_ties_do_not_make_a_network_different() -> None:
    x = tied_events(1000, 5)
    np.savez("events.npz", x=x)
    inputs = [torch.from_numpy(x[:4])]
    files = [traced(Nearest(products), inputs, f"{products}.pt") for products in (True, False)]
    found = modelferry.compare(*files, inputs="events.npz")
    assert found, found
    assert 0 < found.outputs[0].near_ties <= 5
    assert "near ties and set apart" in str(found)
    onnx = to_onnx(Nearest(False), inputs, "n.onnx", ({0: torch.export.Dim("events")},), input_names=["x"])
    assert modelferry.compare(files[0], onnx, inputs="events.npz")
    assert modelferry.compare(onnx, modelferry_ort(onnx), inputs="events.npz")
    wrong = Nearest(True)
    with torch.no_grad():
        wrong.last.weight[0, 0] *= 1.001
    assert not modelferry.compare(traced(wrong, inputs, "wrong.pt"), files[1], inputs="events.npz")


def modelferry_ort(path: str) -> str:
    """Return the file as ONNX Runtime optimises it: another order of sums, and no float64."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.optimized_model_filepath = "n.ort"
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return "n.ort"


def test_model_of_scikit_learn_loads() -> None:
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 9)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    for number, model in enumerate((MLPClassifier((8,), max_iter=30), LogisticRegression())):
        model.fit(x, y)
        for name, zipped in (("a", True), ("b", False)):
            options = {id(model): {"zipmap": zipped}}
            proto = skl2onnx.to_onnx(model, x[:1], options=options)
            Path(f"{name}{number}.onnx").write_bytes(proto.SerializeToString())
    for number in (0, 1):
        found = modelferry.compare(f"a{number}.onnx", f"b{number}.onnx", events=FEW)
        assert found, found
        assert len(found.outputs) == 2
    assert not modelferry.compare("a0.onnx", "b1.onnx", events=FEW)


def test_programs_packages_and_networks_of_others_are_the_same() -> None:
    network = Tagger().eval()
    program = torch.export.export(network, (X,), dynamic_shapes=FREE)
    torch.export.save(program, "p.pt2")
    traced(network, [X], "t.pt")
    to_onnx(network, [X], "o.onnx", FREE)
    told = {"x": ("events", "particles", 9)}
    for pair, shapes in (
        (("p.pt2", "t.pt"), None),
        (("o.onnx", "p.pt2"), None),
        ((network, "p.pt2"), None),
        (("t.pt", network), told),
    ):
        found = modelferry.compare(*pair, shapes=shapes, events=FEW)
        assert found, found
        assert sum("=1," in call for call in found.calls) > 2
    for path in ("p.pt2", "t.pt", "o.onnx"):
        assert not modelferry.compare(Tagger(2).eval(), path, shapes=told if path == "t.pt" else None, events=FEW)


def test_package_of_others_is_compared_by_the_place_of_its_inputs() -> None:
    network = Tagger().eval()
    program = torch.export.export(network, (X,), dynamic_shapes=FREE)
    torch._inductor.aoti_compile_and_package(program, package_path="here.pt2")
    to_onnx(network, [X], "o.onnx", FREE, input_names=["x"])
    found = modelferry.compare("here.pt2", "o.onnx", events=FEW)
    assert found, found
    assert "here.pt2: its inputs were taken to be, in order, 'x' of o.onnx" in str(found) or "in order" in str(found)
    assert not modelferry.compare("here.pt2", Tagger(2).eval(), shapes={"x": ("events", "particles", 9)}, events=FEW)


def test_our_own_files_bring_their_contracts() -> None:
    network = Tagger().eval()
    dynamic = {0: "events", 1: modelferry.Dimension(name="particles", minimum=1, typical=5, maximum=12)}
    modelferry.export(network, "ours.onnx", inputs=X, dynamic=dynamic)
    modelferry.export(network, "ours.pt", inputs=X, dynamic=dynamic)
    traced(network, [X], "theirs.pt")
    for pair in (("ours.onnx", "ours.pt"), ("ours.onnx", "theirs.pt"), ("theirs.pt", "ours.pt")):
        assert modelferry.compare(*pair, events=FEW)
    artifact = modelferry.load("ours.onnx")
    assert modelferry.compare(artifact, network, events=FEW)


def test_file_of_fixed_sizes_is_compared_at_those() -> None:
    network = Tagger().eval()
    to_onnx(network, [X[:1]], "one.onnx", input_names=["x"])
    found = modelferry.compare(network, "one.onnx", events=FEW)
    assert found, found
    assert found.outputs[0].events >= FEW


class Momentum(nn.Module):
    """A regression in GeV: a neutrino's momentum from measured ones."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, p: Tensor) -> Tensor:
        return 120 * self.body(p / 120)


def test_regression_is_compared_by_its_relative_difference() -> None:
    network = Momentum().eval()
    p = 200 * torch.randn(4, 6)
    to_onnx(network, [p], "m.onnx", ({0: torch.export.Dim("events")},))
    traced(network, [p], "m.pt")
    ranges = {"p": (-500.0, 500.0)}
    found = modelferry.compare("m.pt", "m.onnx", ranges=ranges, names={"p": "p"})
    assert found, found
    assert found.outputs[0].max_abs > 1e-6
    with torch.no_grad():
        network.body[4].bias[0] *= 1.001
    assert not modelferry.compare(network, "m.onnx", ranges=ranges)
    assert modelferry.compare(network, "m.onnx", ranges=ranges, rtol=0.05, atol=1)


def test_scores_in_the_place_of_logits_are_named() -> None:
    traced(Tagger(), [X], "logits.pt")
    traced(nn.Sequential(Tagger(), nn.Softmax(1)), [X], "scores.pt")
    found = modelferry.compare("logits.pt", "scores.pt", shapes={"x": ("events", 5, 9)}, names={"x": "input"})
    assert "it gives the softmax of what the reference gives" in found.reason


def test_file_that_draws_random_numbers_is_refused() -> None:
    torch.jit.save(torch.jit.script(Noisy()), "noisy.pt")
    traced(nn.Identity(), [X], "calm.pt")
    shapes = {"x": ("events", 9)}
    with pytest.raises(NetworkError, match=r"noisy\.pt gives other outputs for the same inputs"):
        modelferry.compare("noisy.pt", "noisy.pt", shapes=shapes)
    with pytest.raises(NetworkError, match="draws random numbers"):
        modelferry.compare(Noisy().eval(), "calm.pt", shapes=shapes, names={"x": "input"})


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-7 * torch.rand_like(x)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["t.pt", "missing.onnx"], "there is no file missing.onnx"),
        (["t.pt", "t.pt"], "neither file tells the shape of 'x'; give --inputs FILE.npz, or --shape x=events,9"),
        (["t.pt", "other.onnx"], "other.onnx takes features, mask, and t.pt x; say which is which: --map x=features"),
        (["t.pt", "t.pt", "--shape", "y=events,9"], "--shape y: there is no such input; known: x"),
        (["t.pt", "t.pt", "--range", "x=0"], "--range x=0 is not two numbers"),
        (["t.pt", "t.pt", "--map", "x"], "--map x says nothing"),
        (["t.pt", "text.txt"], "text.txt is of no format that is known, and as a checkpoint: "),
        (["t.pt", "t.pt", "--inputs", "wrong.npz"], "wrong.npz has no array 'x'"),
        (["t.pt", "empty.onnx"], "empty.onnx is no artifact but an empty file; copy or export it again"),
        (["t.pt", "nothing.here:net"], "network 'nothing.here:net': ModuleNotFoundError"),
    ],
)
def test_what_is_missing_is_asked_for(arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    traced(Tagger(), [X], "t.pt")
    if "other.onnx" in arguments:
        mask = torch.ones(4, 5, dtype=torch.bool)
        to_onnx(Masked(), [X, mask], "other.onnx", input_names=["features", "mask"])
    Path("text.txt").write_text("text")
    Path("empty.onnx").write_bytes(b"")
    np.savez("wrong.npz", y=np.zeros(3))
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert wanted in error


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x.masked_fill(~mask[..., None], 0).sum(1)


def test_json_has_the_verdict_and_the_worst_events(capsys: pytest.CaptureFixture[str]) -> None:
    traced(Tagger(1), [X], "1.pt")
    traced(Tagger(2), [X], "2.pt")
    np.savez("x.npz", x=X.repeat(10, 1, 1).numpy())
    assert main(["compare", "1.pt", "2.pt", "--inputs", "x.npz", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is False
    assert found["outputs"][0]["worst"][0]["max_abs"] == found["outputs"][0]["max_abs"]
    assert main(["compare", "1.pt", "1.pt", "--inputs", "x.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_network_by_its_import_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced(Tagger(), [X], "t.pt")
    name = f"{Tagger.__module__}:made"
    assert modelferry.compare(name, "t.pt", shapes={"x": ("events", "particles", 9)}, events=FEW)
    with pytest.raises(ArgumentError, match="is in training mode"):
        modelferry.compare(f"{Tagger.__module__}:Tagger", "t.pt", shapes={"x": ("events", "particles", 9)})
    with pytest.raises(ModelferryError, match="has no 'maid'"):
        modelferry.compare(name.replace("made", "maid"), "t.pt")


def made() -> nn.Module:
    return Tagger().eval()


def test_validation_of_a_foreign_file_points_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    traced(Tagger(), [X], "foreign one.pt")
    assert main(["validate", "foreign one.pt"]) == 1
    assert "modelferry compare CHECKPOINT 'foreign one.pt'" in capsys.readouterr().err
