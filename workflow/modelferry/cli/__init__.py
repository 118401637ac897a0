"""Carry trained PyTorch models to where they run, and prove that they arrive unchanged."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Command = Callable[[argparse.Namespace], int]
