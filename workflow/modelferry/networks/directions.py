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
NUMERATOR = (-8.750608600031904122785e-1, -1.615753718733365076637e1, -7.500855792314704667340e1,
             -1.228866684490136173410e2, -6.485021904942025371773e1)  # fmt: skip
DENOMINATOR = (1.0, 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2,
               4.853903996359136964868e2, 1.945506571482613964425e2)  # fmt: skip
"""Of the rational approximation of arctan in [−0.66, 0.66]: S. L. Moshier, Cephes, ``atan.c``."""


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
        """Return φ in [−π, π], as ``arctan2(py, px)`` has it; the sign of a zero px counts, that of py does not."""
        x, y = px.abs(), py.abs()
        larger = torch.maximum(x, y)
        octant = self.arctan(torch.minimum(x, y) / larger.clamp(min=self.tiny))
        quadrant = torch.where(y > x, math.pi / 2 - octant, octant)
        half = torch.where(px.reciprocal() < 0, math.pi - quadrant, quadrant)
        return torch.where(py < 0, -half, half)

    def arctan(self, ratio: Tensor) -> Tensor:
        """Return the arctan of values in [0, 1]."""
        upper = ratio > 0.66
        t = torch.where(upper, (ratio - 1) / (ratio + 1), ratio)
        z = t.square()
        value = t * z * (horner(self.numerator, z) / horner(self.denominator, z)) + t
        return torch.where(upper, value + math.pi / 4, value)


def horner(coefficients: list[float], z: Tensor) -> Tensor:
    """Return a polynomial of `z`, highest coefficient first."""
    value = coefficients[0] * z + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * z + coefficient
    return value
