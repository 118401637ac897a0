"""Preparation of inputs as data: a card in YAML says what a network was trained on, and nothing else decides it.

The layout of cards is the one that weaver reads (https://github.com/hqucms/weaver-core): users bring theirs.
"""

from __future__ import annotations

from modelferry.families.jets.card import Card, packaged_cards, read_card
from modelferry.families.jets.columns import Column, Jagged
from modelferry.families.jets.prepare import Prepared, prepare

__all__ = ["Card", "Column", "Jagged", "Prepared", "packaged_cards", "prepare", "read_card"]
