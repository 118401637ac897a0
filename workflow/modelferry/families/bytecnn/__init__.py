"""Byte CNNs: small text classifiers on bytes."""
