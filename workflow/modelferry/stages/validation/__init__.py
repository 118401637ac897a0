"""Validation: proof that the file that ships computes the function that was trained.

Probes → the reference in float64 and float32 → the artifact in its runtime → comparison, controls, verdict.
"""
