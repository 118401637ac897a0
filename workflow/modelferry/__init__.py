"""modelferry carries trained PyTorch models to where they run, and proves that they arrive unchanged."""

from modelferry.version import __version__

__all__ = ["__version__"]
