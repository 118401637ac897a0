"""The charged-Higgs ParticleNet: a graph network on the particles of an event."""
