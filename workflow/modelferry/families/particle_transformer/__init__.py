"""The Particle Transformer of weaver: JetClass and Sophon taggers."""
