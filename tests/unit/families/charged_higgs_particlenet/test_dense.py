"""The dense layout of the charged-Higgs ParticleNet: the trained function, its graphs built inside."""

from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from checkpoint_samples import formula_state
from modelferry.core.contract import Arrays
from modelferry.families import load_family
from modelferry.families.charged_higgs_particlenet.dense import DenseParticleNet, nearest
from modelferry.families.charged_higgs_particlenet.edges import delta_r_edges, eta_phi
from modelferry.families.shared.directions import DeltaR
from modelferry.families.transforms import NONE, TRANSFORMS
from sheets import expected_figures

FAMILY = load_family("charged_higgs_particlenet")
ALL = frozenset(TRANSFORMS)
SIZES = (1, 2, 3, 4, 5, 6, 7, 12, 20, 40)
WIDTH = 24
EXACT = 3e-6

Events = list[Arrays]


def events_of(sizes: tuple[int, ...], seed: int = 0) -> Events:
    return [FAMILY.sample({"events": 1, "particles": n}, seed + 97 * i)[0] for i, n in enumerate(sizes)]


def loaded(network: torch.nn.Module, weights: Any, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    network.to(dtype).load_state_dict(dict(weights), strict=True)
    return network.eval()


def dense(transforms: frozenset[str] = ALL, dtype: torch.dtype = torch.float32, hidden: int = WIDTH) -> torch.nn.Module:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in formula_state(hidden).items()}
    network = FAMILY.deployable({"hidden": hidden}, "dense", transforms)
    return loaded(network, FAMILY.convert(state, {"hidden": hidden}, "dense", transforms), dtype)


def reference(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    return loaded(FAMILY.reference({"hidden": WIDTH}), formula_state(WIDTH)).to(dtype)


def call(network: torch.nn.Module, inputs: Arrays, dtype: torch.dtype = torch.float32) -> np.ndarray:
    tensors = [torch.from_numpy(value) for value in inputs.values()]
    with torch.inference_mode():
        return network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors)).numpy()


def edges_inside(x: np.ndarray) -> np.ndarray:
    """Return the neighbours (B, n, min(4, n − 1)) that the network finds in events (B, n, 9)."""
    px, py, pz = torch.from_numpy(x[..., 1:4]).unbind(2)
    itself = torch.eye(x.shape[1], dtype=torch.bool)
    return nearest(DeltaR()(px, py, pz).masked_fill(itself, torch.inf), 4)[..., : x.shape[1] - 1].numpy()


@pytest.mark.parametrize("transforms", [NONE, ALL], ids=["as trained", "rewritten"])
@pytest.mark.parametrize(
    ("dtype", "key", "limit"), [(torch.float32, "logits", EXACT), (torch.float64, "logits_float64", 1e-12)]
)
def test_equals_the_sheets_nine_events(transforms: frozenset[str], dtype: torch.dtype, key: str, limit: float) -> None:
    expected = expected_figures("charged_higgs_particlenet")["events"]
    events = [
        {"x": np.array(e["x"], np.float32), "graph_input": np.array(e["graph_input"], np.float32).reshape(4)}
        for e in expected
    ]
    found = call(dense(transforms, dtype, hidden=128), FAMILY.collate(events, "dense"), dtype)
    assert np.abs(found - np.array([event[key] for event in expected])).max() < limit


@pytest.mark.parametrize("transforms", [NONE, ALL], ids=["as trained", "rewritten"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, EXACT), (torch.float64, 1e-12)])
def test_equals_the_reference_at_every_size(transforms: frozenset[str], dtype: torch.dtype, limit: float) -> None:
    network, truth = dense(transforms, dtype), reference(dtype)
    for batch in (*((n,) for n in SIZES), *((n, n, n) for n in SIZES), SIZES):
        events = events_of(batch, seed=sum(batch))
        expected = call(truth, FAMILY.collate(events, "flat"), dtype)
        assert np.abs(call(network, FAMILY.collate(events, "dense"), dtype) - expected).max() < limit, batch


@pytest.mark.parametrize("label", FAMILY.special(0))
def test_equals_the_reference_on_awkward_events(label: str) -> None:
    events = [*FAMILY.special(3)[label], *events_of((9, 2))]
    expected = call(reference(torch.float64), FAMILY.collate(events, "flat"), torch.float64)
    found = call(dense(dtype=torch.float64), FAMILY.collate(events, "dense"), torch.float64)
    assert np.abs(found - expected).max() < 1e-12


def test_edges_are_those_of_the_data_sets_on_ten_thousand_events() -> None:
    rng = np.random.default_rng(7)
    for n in range(1, 26):
        x = np.zeros((400, n, 9), np.float32)
        x[..., 1:4] = rng.normal(size=(400, n, 3)) * rng.exponential(50, (400, n, 1))
        x[:, -1, 3] = 0  # missing momentum
        for event in x[1::3]:
            event[rng.integers(n), 1:3] = 0  # along the beam
            event[rng.integers(n)] = event[rng.integers(n)]  # equal particles
        for event in x[2::3]:
            event[rng.integers(n)] = 2 * event[rng.integers(n)]  # equal directions
            event[rng.integers(n)] = 0
        for event, found in zip(x, edges_inside(x), strict=True):
            assert np.array_equal(found.ravel(), delta_r_edges(event)[1])


def test_equal_distances_keep_the_order_of_the_particles() -> None:
    assert edges_inside(np.ones((1, 7, 9), np.float32))[0].tolist() == [
        [j for j in range(7) if j != i][:4] for i in range(7)
    ]


@given(arrays(np.float32, (12, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_directions_are_those_of_the_data_sets(momentum: np.ndarray) -> None:
    x = np.zeros((12, 9), np.float32)
    x[:, 1:4] = momentum
    eta, phi = eta_phi(x)
    px, py, pz = torch.from_numpy(momentum).double().unbind(1)
    assert np.allclose(DeltaR().pseudorapidity(px, py, pz).numpy(), eta, rtol=1e-15, atol=2e-15)
    apart = np.abs(DeltaR().azimuth(px, py).numpy() - phi)
    assert np.minimum(apart, 2 * np.pi - apart).max() < 1e-15  # −0 and 0 are one py


def test_angles_are_within_one_unit_in_the_last_place() -> None:
    t = np.concatenate([np.random.default_rng(0).random(2000), [0.0, 1e-300, 1e-8, 1.0]])
    exact = np.array([float(2 * mpmath.atan(value)) for value in t])
    found = DeltaR().twice_arctan(torch.from_numpy(t).unsqueeze(0)).squeeze(0).numpy()
    assert (np.abs(found - exact) <= np.spacing(exact)).all()


@pytest.mark.parametrize("transforms", [NONE, ALL], ids=["as trained", "rewritten"])
@settings(max_examples=15)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 6), st.integers(0, 2**20))
def test_place_amount_and_content_of_padding_do_not_matter(
    transforms: frozenset[str], sizes: list[int], extra: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    network, events = dense(transforms, torch.float64), events_of(tuple(sizes), seed)
    slots = max(sizes) + extra
    x = rng.choice([np.nan, np.inf, -1e30, 5.0], (len(sizes), slots, 9)).astype(np.float32)
    mask = np.zeros((len(sizes), slots), bool)
    for row, event in enumerate(events):
        places = np.sort(rng.choice(slots, len(event["x"]), replace=False))
        x[row, places], mask[row, places] = event["x"], True
    inputs = FAMILY.collate(events, "dense")
    found = call(network, {**inputs, "x": x, "mask": mask}, torch.float64)
    assert np.abs(found - call(network, inputs, torch.float64)).max() < 1e-12


@settings(max_examples=15)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(0, 2**20))
def test_batch_mates_and_the_order_of_particles_do_not_matter(sizes: list[int], seed: int) -> None:
    network, events = dense(dtype=torch.float64), events_of(tuple(sizes), seed)
    together = call(network, FAMILY.collate(events, "dense"), torch.float64)
    for event, row in zip(events, together, strict=True):
        shuffled = {**event, "x": np.random.default_rng(seed).permutation(event["x"])}
        assert np.abs(call(network, FAMILY.collate([shuffled], "dense"), torch.float64) - row).max() < 1e-12


def test_edges_of_the_first_layer_point_to_the_neighbour() -> None:
    """Reversing them moves the reference; the dense network agrees with the one and not with the other."""
    events = events_of((12, 20))
    inputs = FAMILY.collate(events, "flat")
    truth = call(reference(), inputs)
    reversed_edges = call(reference(), {**inputs, "edge_index": inputs["edge_index"][::-1].copy()})
    found = call(dense(), FAMILY.collate(events, "dense"))
    assert np.abs(found - truth).max() < EXACT < 1e-3 < np.abs(found - reversed_edges).max()


@pytest.mark.parametrize("transforms", [NONE, ALL], ids=["as trained", "rewritten"])
def test_event_without_particles_is_what_the_reference_makes_of_it(transforms: frozenset[str]) -> None:
    filled, empty = events_of((5, 3))
    flat = FAMILY.collate([filled], "flat")
    flat["graph_input"] = np.stack([filled["graph_input"], empty["graph_input"]])
    inputs = FAMILY.collate([filled, empty], "dense")
    inputs["mask"][1] = False
    found = call(dense(transforms, torch.float64), inputs, torch.float64)
    assert np.abs(found - call(reference(torch.float64), flat, torch.float64)).max() < 1e-12


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_particles_that_are_not_finite_give_outputs_that_are_not(bad: float) -> None:
    inputs = FAMILY.collate(events_of((6, 9)), "dense")
    inputs["x"][0, 2, 1] = bad
    found = call(dense(), inputs)
    assert not np.isfinite(found[0]).any()
    assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("name", FAMILY.broken_inputs("dense"))
def test_broken_inputs_move_the_output(name: str) -> None:
    contract, inputs = FAMILY.contract({"hidden": WIDTH}, "dense"), FAMILY.collate(events_of((5, 9)), "dense")
    spoiled = FAMILY.broken_inputs("dense")[name](inputs, contract)
    assert np.abs(call(dense(), spoiled) - call(dense(), inputs)).max() > 1e-3


def test_scripted_network_equals_the_eager_one() -> None:
    network, inputs = dense(), FAMILY.collate(events_of((1, 4, 9)), "dense")
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(network)
    assert np.array_equal(call(scripted, inputs), call(network, inputs))


def test_exported_program_holds_at_every_size() -> None:
    events, particles = torch.export.Dim("events", min=1, max=64), torch.export.Dim("particles", min=1, max=40)
    shapes = ({0: events, 1: particles}, {0: events, 1: particles}, {0: events})
    network = dense()
    example = tuple(torch.from_numpy(value) for value in FAMILY.collate(events_of((9, 7, 5)), "dense").values())
    program = torch.export.export(network, example, dynamic_shapes=shapes).module()
    for batch in ((1,), (2,), (5,), (40,), (3, 1), (7, 20, 2, 4)):
        inputs = FAMILY.collate(events_of(batch, seed=5), "dense")
        assert np.array_equal(call(program, inputs), call(network, inputs)), batch


@pytest.mark.parametrize("transforms", [NONE, ALL], ids=["as trained", "rewritten"])
def test_largest_tensor_grows_with_the_batch_and_not_with_its_square(transforms: frozenset[str]) -> None:
    def largest(batch: int) -> int:
        sizes: list[int] = []

        class Largest(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = function(*args, **(kwargs or {}))
                sizes.extend(t.numel() for t in (result if isinstance(result, tuple | list) else [result]))
                return result

        inputs = FAMILY.collate(events_of((6,) * batch), "dense")
        with Largest(), torch.no_grad():
            network(*(torch.from_numpy(value) for value in inputs.values()))
        return max(sizes)

    network: DenseParticleNet = dense(transforms)  # type: ignore[assignment]
    assert largest(32) == 8 * largest(4)
