"""The version of modelferry: that of its git tag, written down when it was installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("modelferry")
except PackageNotFoundError:  # a copy of the sources that nobody has installed
    __version__ = "0+unknown"
