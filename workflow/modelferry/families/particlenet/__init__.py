"""The ParticleNet of weaver: JetClass taggers."""
