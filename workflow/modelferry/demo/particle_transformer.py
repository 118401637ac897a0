"""Demo of the Particle Transformer on toy jets."""

from __future__ import annotations

from modelferry.demo.jets import JetDemo

DEMO = JetDemo("particle_transformer")
