"""Each pair of particles is computed once, and stands wherever the Particle Transformer looks for it."""

import pytest
import torch

from modelferry.families.particle_transformer.deployable import PairFeatures, Pairs
from modelferry.families.particle_transformer.reference import pair_features


@pytest.mark.parametrize("particles", [1, 2, 3, 4, 7, 8, 127, 128])
def test_pairs_computed_once_fill_the_table(particles: int) -> None:
    partners = Pairs().partners(particles, torch.device("cpu"))
    assert partners.shape == (particles // 2 + 1, particles)
    numbers = torch.arange(particles)
    pairs = torch.stack([torch.minimum(numbers, partners), torch.maximum(numbers, partners)])
    all_pairs = torch.stack(
        [torch.minimum(numbers, numbers.unsqueeze(1)), torch.maximum(numbers, numbers.unsqueeze(1))]
    )
    assert torch.equal(Pairs().of_all(pairs.unsqueeze(0)).squeeze(0), all_pairs)


def test_pair_features_are_those_of_the_network_as_trained() -> None:
    generator = torch.Generator().manual_seed(1)
    momenta = torch.randn(20, 3, 31, generator=generator)
    vectors = torch.cat([momenta, momenta.square().sum(1, keepdim=True).sqrt() * 1.01], dim=1)
    partners = Pairs().partners(31, torch.device("cpu"))
    once = PairFeatures()(*vectors.unbind(1), partners)
    assert torch.allclose(Pairs().of_all(once.movedim(3, 1)), pair_features(vectors), rtol=2e-6, atol=2e-6)
