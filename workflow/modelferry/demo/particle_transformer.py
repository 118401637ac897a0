"""Demo of the Particle Transformer on toy jets."""

from __future__ import annotations

from modelferry.demo.jets import JetDemo
from modelferry.families.particle_transformer.family import FAMILY

DEMO = JetDemo(FAMILY)
