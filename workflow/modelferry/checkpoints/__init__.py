"""Checkpoints: their tensors, shapes and averaged weights; nothing in a file is ever executed."""
