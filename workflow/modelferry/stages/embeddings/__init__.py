"""Embeddings of jets: tables of what a network knows of each jet, and what these tables hold."""
