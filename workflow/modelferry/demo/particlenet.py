"""Demo of the jet ParticleNet on toy jets."""

from __future__ import annotations

from modelferry.demo.jets import JetDemo
from modelferry.families.particlenet.family import FAMILY

DEMO = JetDemo(FAMILY)
