"""The quantized format: near, smaller, never the same, and labelled so."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import modelferry
from modelferry.checkpoints.reader import fit
from modelferry.families import load_family
from modelferry.families.transforms import resolve_transforms
from modelferry.formats import load_format

FAMILY, TARGET = load_family("charged_higgs_particlenet"), load_format("quantized")
HIDDEN, LAYOUT = {"hidden": 64}, "dense"
TRANSFORMS = resolve_transforms({}, FAMILY.transforms(LAYOUT))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / "template.onnx"
    network = FAMILY.deployable(HIDDEN, LAYOUT, TRANSFORMS).eval()
    contract = FAMILY.contract(HIDDEN, LAYOUT)
    TARGET.build_template(network, contract, events(8), {}, path)
    return path


def events(count, seed=3):
    return FAMILY.collate(FAMILY.sample({"events": count, "particles": 12}, seed), LAYOUT)


def weights(seed):
    torch.manual_seed(seed)
    network = FAMILY.deployable(HIDDEN, "flat")
    return FAMILY.convert(fit(network.state_dict(), network, "here"), HIDDEN, LAYOUT, TRANSFORMS)


def eager(seed, inputs):
    network = FAMILY.deployable(HIDDEN, LAYOUT, TRANSFORMS)
    network.load_state_dict(weights(seed))
    with torch.inference_mode():
        return network.eval()(
            *(torch.from_numpy(inputs[t.name]) for t in FAMILY.contract(HIDDEN, LAYOUT).inputs)
        ).numpy()


def test_is_an_approximation():
    assert TARGET.exactness == "approximation"


@pytest.mark.parametrize("seed", [1, 2])
def test_filled_template_is_near_its_own_network_and_not_equal(template, tmp_path, seed):
    TARGET.fill(template, weights(seed), {}, tmp_path / "model.onnx")
    found = TARGET.load(tmp_path / "model.onnx", threads=1)(events(20))["logits"]
    apart = np.abs(found - eager(seed, events(20))).max()
    other = np.abs(found - eager(3 - seed, events(20))).max()
    assert 1e-5 < apart < 0.2 * other


def test_matrices_are_stored_as_int8(template, tmp_path):
    TARGET.fill(template, weights(1), {}, tmp_path / "model.onnx")
    stored = onnx.load(tmp_path / "model.onnx").graph.initializer
    int8 = sum(np.prod(t.dims) for t in stored if t.data_type == onnx.TensorProto.INT8)
    matrices = sum(t.numel() for t in weights(1).values() if t.dim() == 2)
    assert int8 >= 0.9 * matrices
    assert (tmp_path / "model.onnx").stat().st_size < 0.5 * template.stat().st_size


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "graph_input"])
def test_number_that_is_not_finite_is_never_rounded_to_a_score(template, tmp_path, name, bad):
    TARGET.fill(template, weights(1), {}, tmp_path / "model.onnx")
    inputs = events(3)
    inputs[name][1].flat[2] = bad
    assert not np.isfinite(TARGET.load(tmp_path / "model.onnx", threads=1)(inputs)["logits"][1]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_comes_out_of_convolutions_in_its_event_alone(bad, tmp_path):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3)).eval()
    images = torch.randn(4, 1, 8, 8)
    artifact = modelferry.export(network, tmp_path / "n.onnx", inputs=(images,), format="quantized")
    assert {"ConvInteger", "MatMulInteger"} <= {node.op_type for node in onnx.load(artifact.path).graph.node}
    session = onnxruntime.InferenceSession(str(artifact.path))
    broken = images.numpy().copy()
    broken[1, 0, 0, 0] = bad
    (found,) = session.run(None, {session.get_inputs()[0].name: broken})
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2, 3]]).all()
