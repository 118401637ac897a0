"""Directions of particles inside an exported graph: η, φ and ΔR in float64, from operators that every runtime has.

ONNX Runtime computes neither arctan nor arsinh in float64, and a vectorised one may differ in the last bit from the
scalar one that computes the rest of a row. So φ comes from sums, products, quotients and comparisons alone.
Distances equal those of `modelferry.events.edges` but for some units in the last place of float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TINY = 2.2250738585072014e-308
"""The smallest pt that `modelferry.events.edges` has."""
LOG_TINY = -708.3964185322641
"""Its logarithm."""
MAX_ETA = 710.4758600739439
"""arsinh of the largest float64: what `modelferry.events.edges` has along the beam."""
NUMERATOR = (-0.8404692230554462, -8.784785564042568, -21.63448856969884, -14.647548546007082)
DENOMINATOR = (1.0, 15.423583369439312, 62.283226132156216, 91.26905309189976, 43.942645638021254)
"""In t² of (arctan t / t − 1) / t² for t in [0, tan π/8], to 1e-17: interpolated at eight Chebyshev nodes."""


class DeltaR(nn.Module):
    """ΔR² between the particles of each event."""

    def __init__(self) -> None:
        super().__init__()
        self.tiny, self.log_tiny, self.max_eta = TINY, LOG_TINY, MAX_ETA
        self.numerator, self.denominator = list(NUMERATOR), list(DENOMINATOR)

    def forward(self, px: Tensor, py: Tensor, pz: Tensor) -> Tensor:
        """Return (B, N, N) float64 for momenta (B, N)."""
        px, py, pz = px.double(), py.double(), pz.double()
        eta, phi = self.pseudorapidity(px, py, pz), self.azimuth(px, py)
        apart = (phi.unsqueeze(2) - phi.unsqueeze(1)).abs()
        return (eta.unsqueeze(2) - eta.unsqueeze(1)).square() + torch.minimum(apart, 2 * math.pi - apart).square()

    def pseudorapidity(self, px: Tensor, py: Tensor, pz: Tensor) -> Tensor:
        """Return η; 0 where pz is 0, and finite along the beam."""
        squared = px.square() + py.square()
        size, beam = (squared + pz.square()).sqrt(), squared == 0
        eta = ((pz.abs() + size) / torch.where(beam, 1.0, squared.sqrt())).log()
        return torch.where(beam, (eta - self.log_tiny).clamp(min=0.0, max=self.max_eta), eta) * pz.sign()

    def azimuth(self, px: Tensor, py: Tensor) -> Tensor:
        """Return φ in [−π, π], as ``arctan2(py, px)`` has it; the sign of a zero px counts, that of py does not.

        Halving an angle twice, tan(a/2) = sin a / (1 + cos a), takes the first quadrant to where `arctan` is good.
        """
        size = (px.square() + py.square()).sqrt()
        tangent = py.abs() / (size + px.abs()).clamp(min=self.tiny)
        quadrant = 4 * self.arctan(tangent / (1 + (1 + tangent.square()).sqrt()))
        half = torch.where(px.reciprocal() < 0, math.pi - quadrant, quadrant)
        return torch.where(py < 0, -half, half)

    def arctan(self, t: Tensor) -> Tensor:
        """Return the arctan of values in [0, tan π/8]."""
        z = t.square()
        return t * z * (horner(self.numerator, z) / horner(self.denominator, z)) + t


def horner(coefficients: list[float], z: Tensor) -> Tensor:
    """Return a polynomial of `z`, highest coefficient first."""
    value = coefficients[0] * z + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * z + coefficient
    return value
