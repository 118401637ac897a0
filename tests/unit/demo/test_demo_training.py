import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from modelferry.core.events import EventSet, join
from modelferry.demo import charged_higgs_particlenet as demo
from modelferry.demo import charged_higgs_toys, charged_higgs_training
from modelferry.demo.charged_higgs_training import (
    Batch,
    Settings,
    Splits,
    Tensors,
    class_weights,
    signal_auc,
    train,
    weighted_loss,
)
from modelferry.families.charged_higgs_particlenet.node_features import event_set
from modelferry.families.charged_higgs_particlenet.reference import ParticleNet

SAMPLES = ("TTToHcToWAToMuMu-MHc160_MA85", *demo.BACKGROUNDS.values())
TINY = Settings(epochs=3, batch=32)
SMALL = {"hidden": 16, "dropout": 0.1}


def some_events(n: int, seed: int) -> EventSet:
    return join(
        event_set(charged_higgs_toys.generate("Run1E2Mu", sample, n, seed), "2018", sample, label)
        for label, sample in enumerate(SAMPLES)
    )


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(some_events(60, 1), some_events(20, 2), some_events(30, 3))


@pytest.fixture(scope="module")
def checkpoint(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model.pt"
    train("family/model", splits, demo.CLASSES, SMALL, out, TINY)
    return out


def test_two_trainings_give_the_same_bytes_and_another_model_others(
    checkpoint: Path, splits: Splits, tmp_path: Path
) -> None:
    torch.rand(7)  # the state of the global generator must not matter
    for name, model_id in (("again.pt", "family/model"), ("other.pt", "family/other")):
        train(model_id, splits, demo.CLASSES, SMALL, tmp_path / name, TINY)
    assert (tmp_path / "again.pt").read_bytes() == checkpoint.read_bytes()
    assert (tmp_path / "other.pt").read_bytes() != checkpoint.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.pt", "other.pt"]


def test_checkpoint_has_the_entries_of_the_analysis_own(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert list(content) == ["model_state_dict", "val_loss", "best_loss", "epoch"]
    assert len(content["model_state_dict"]) == 108
    assert list(content["model_state_dict"]) == list(ParticleNet(16).state_dict())
    assert type(content["val_loss"]) is type(content["best_loss"]) is float
    assert content["epoch"] == 0
    assert content["best_loss"] <= content["val_loss"]


def test_weights_kept_are_those_of_the_best_epoch(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a shallow copy the kept weights would move on with the training."""
    seen: list[tuple[float, torch.Tensor]] = []
    losses = iter([3.0, 1.0, 2.0])

    def noted(network: ParticleNet, *_: object) -> float:
        seen.append((next(losses), network.output.weight.detach().clone()))
        return seen[-1][0]

    monkeypatch.setattr(charged_higgs_training, "_loss", noted)
    train("family/model", splits, demo.CLASSES, SMALL, tmp_path / "model.pt", TINY)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert (content["best_loss"], content["val_loss"]) == (1.0, 2.0)
    assert torch.equal(content["model_state_dict"]["output.weight"], seen[1][1])
    assert not torch.equal(content["model_state_dict"]["output.weight"], seen[2][1])


def test_validation_loss_in_the_checkpoint_is_that_of_its_weights(checkpoint: Path, splits: Splits) -> None:
    content = torch.load(checkpoint, weights_only=True)
    network = ParticleNet(16).eval()
    network.load_state_dict(content["model_state_dict"])
    events = Tensors(splits.validation, class_weights(splits.training, 4))
    batch = events.batch(torch.arange(len(events)))
    with torch.no_grad():
        loss = weighted_loss(network(batch.x, batch.edge_index, batch.graph_input, batch.batch), batch)
    assert loss.item() == pytest.approx(content["best_loss"], rel=1e-4)


def test_record_says_what_was_trained_on_and_what_it_can_do(splits: Splits, tmp_path: Path) -> None:
    record = train("family/model", splits, demo.CLASSES, SMALL, tmp_path / "model.pt", Settings(1, 32))
    assert record.model == "family/model"
    assert record.events == {"training": 240, "validation": 80, "test": 120}
    assert set(record.test_auc) == {"nonprompt", "diboson", "ttZ"}


def test_network_learns_to_tell_signal_from_background(tmp_path: Path) -> None:
    splits = Splits(some_events(300, 1), some_events(50, 2), some_events(150, 3))
    hyperparameters = {"hidden": 32, "dropout": 0.1}
    record = train("family/model", splits, demo.CLASSES, hyperparameters, tmp_path / "model.pt", Settings(5, 64, 1e-2))
    assert max(record.test_auc.values()) > 0.75
    assert min(record.test_auc.values()) > 0.55


def test_training_leaves_torch_as_it_was(splits: Splits, tmp_path: Path) -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state())
    train("family/model", splits, demo.CLASSES, SMALL, tmp_path / "model.pt", Settings(1, 64))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_batch_keeps_events_apart(splits: Splits) -> None:
    events = Tensors(splits.test, np.ones(4))
    batch = events.batch(torch.tensor([5, 2, 9]))
    assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
    assert batch.batch.bincount().tolist() == [len(splits.test.events[i]["x"]) for i in (5, 2, 9)]
    first = len(splits.test.events[5]["x"])
    assert torch.equal(batch.x[:first], torch.from_numpy(splits.test.events[5]["x"]))
    assert torch.equal(batch.edge_index[:, batch.batch[batch.edge_index[0]] == 1] - first, events.edges[2])


def test_every_class_weighs_as_much_as_the_largest() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    events = EventSet([{}] * 6, labels, np.array([1.0, 1, 4, 1, 1, 1]), "")
    factors = class_weights(events, 4)
    totals = np.bincount(labels, weights=events.weights * factors[labels], minlength=3)
    assert totals.tolist() == pytest.approx([4.0, 4.0, 4.0])
    assert factors[3] == 1


def test_loss_is_the_weighted_mean_of_cross_entropies() -> None:
    logits = torch.tensor([[2.0, 0, 0, 0], [0, 0, 1, 0]])
    empty = torch.empty(0)
    batch = Batch(empty, empty, empty, empty, torch.tensor([0, 1]), torch.tensor([3.0, 1.0]))
    first, second = -torch.log_softmax(logits, 1)[[0, 1], [0, 1]]
    assert weighted_loss(logits, batch).item() == pytest.approx((3 * first + second).item() / 4)


def test_auc_compares_the_signal_with_one_background_at_a_time() -> None:
    rng = np.random.default_rng(zlib.crc32(b"auc"))
    labels, probabilities = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    pair = np.isin(labels, (0, 2))
    score = probabilities[pair, 0] / (probabilities[pair, 0] + probabilities[pair, 2])
    expected = roc_auc_score(labels[pair] == 0, score)
    assert signal_auc(probabilities, labels, demo.CLASSES)["diboson"] == pytest.approx(expected)


def test_auc_without_a_class_is_not_a_number() -> None:
    found = signal_auc(np.full((4, 4), 0.25), np.array([0, 0, 1, 1]), demo.CLASSES)
    assert found["nonprompt"] == 0.5
    assert np.isnan(found["ttZ"])
