"""Directions of particles inside an exported graph: η, φ and ΔR in float64, from operators that every runtime has.

ONNX Runtime computes neither arctan nor arsinh in float64, and a vectorised one may differ in the last bit from the
scalar one that computes the rest of a row. So φ comes from sums, products, quotients and comparisons alone.
Distances equal those of `families.charged_higgs_particlenet.edges` but for some units in the last place of float64.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

LOG_TINY = -708.3964185322641
"""Logarithm of the smallest pt that `families.charged_higgs_particlenet.edges` has."""
MAX_ETA = 710.4758600739439
"""arsinh of the largest float64: what `families.charged_higgs_particlenet.edges` has along the beam."""
LEGENDRE_POINTS = 23
"""So many take `DeltaR.twice_arctan` to 1e-17; half of them, for what they integrate is even."""


class DeltaR(nn.Module):
    """ΔR² between the particles of each event."""

    def __init__(self) -> None:
        super().__init__()
        self.log_tiny, self.max_eta = LOG_TINY, MAX_ETA
        points, weights = np.polynomial.legendre.leggauss(LEGENDRE_POINTS)
        upper = points > 1e-9
        # No buffers, which `Module.float` would round; and no lists, which TorchScript takes through float32.
        self.periods = _column([math.inf, 2 * math.pi]).unsqueeze(3)
        self.poles, self.shares = _column(points[upper] ** -2), _column(2 * weights[upper])

    def forward(self, px: Tensor, py: Tensor, pz: Tensor) -> Tensor:
        """Return (B, N, N) float64 for momenta (B, N)."""
        px, py, pz = px.double(), py.double(), pz.double()
        # Stacked, so that compilers store them: computed anew for each pair, they would cost more than all distances.
        direction = torch.stack([self.pseudorapidity(px, py, pz), self.azimuth(px, py)])
        difference = (direction.unsqueeze(3) - direction.unsqueeze(2)).abs()
        return torch.minimum(difference, self.periods.to(difference.device) - difference).square().sum(0)

    def pseudorapidity(self, px: Tensor, py: Tensor, pz: Tensor) -> Tensor:
        """Return η; 0 where pz is 0, and finite along the beam."""
        squared = px.square() + py.square()
        size, beam = (squared + pz.square()).sqrt(), squared == 0
        eta = ((pz.abs() + size) / torch.where(beam, 1.0, squared.sqrt())).log()
        return torch.where(beam, (eta - self.log_tiny).clamp(min=0.0, max=self.max_eta), eta) * pz.sign()

    def azimuth(self, px: Tensor, py: Tensor) -> Tensor:
        """Return φ in [−π, π], as ``arctan2(py, px)`` has it; the sign of a zero px counts, that of py does not.

        Halving the angle, tan(a/2) = sin a / (1 + cos a), takes the first quadrant to where `twice_arctan` is good.
        """
        size = (px.square() + py.square()).sqrt()
        adjacent = size + px.abs()
        # No clamp to a tiny number: `torch.onnx.export` rounds such bounds to float32, which makes them 0.
        quadrant = self.twice_arctan(py.abs() / torch.where(adjacent == 0, 1.0, adjacent))
        half = torch.where(px.reciprocal() < 0, math.pi - quadrant, quadrant)
        return torch.where(py < 0, -half, half)

    def twice_arctan(self, t: Tensor) -> Tensor:
        """Return 2 arctan t for values (B, N) in [0, 1].

        arctan t is t − t³ ∫ s² / (1 + t² s²) ds over s from 0 to 1, here by Gauss–Legendre quadrature.
        """
        z = t.square()
        return t * (2.0 - z * (self.shares.to(t.device) / (self.poles.to(t.device) + z)).sum(0))


def _column(values: ArrayLike) -> Tensor:
    return torch.as_tensor(np.asarray(values, np.float64)).view(-1, 1, 1)
