"""Sizes of the charged-Higgs ParticleNet that no checkpoint changes."""

NODE_FEATURES, GRAPH_FEATURES, CLASSES, NEIGHBOURS = 9, 4, 4, 4
