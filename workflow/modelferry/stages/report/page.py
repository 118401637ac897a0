"""What all pages of the report are put together from."""

from __future__ import annotations

from collections.abc import Sequence

from modelferry.records.summary import SummaryModel
from modelferry.stages.report.formatting import details, plural, prose

MARK = "<!-- Written by modelferry; changes to this file are lost. -->"
MEANING = (
    "An artifact passes if every output agrees with the float32 network as trained within "
    "|artifact - reference| ≤ atol + rtol · |reference|, or if its error against the same network in float64 is at "
    "most twice that of float32 itself. A ratio of the two errors near 1 therefore says that the artifact is as "
    "accurate as what was trained; ULPs count the float32 numbers between the two outputs."
)


def joined(blocks: Sequence[str]) -> str:
    """Return a page of what is not empty; a heading alone goes if nothing but the next heading follows it."""
    filled = [block for block in blocks if block]
    kept = [
        block
        for block, after in zip(filled, [*filled[1:], "## "], strict=True)
        if not (block.startswith("## ") and "\n" not in block and after.startswith("## "))
    ]
    return "\n\n".join(kept) + "\n"


def folded(title: str, text: str) -> str:
    """Return a text folded away under a title; empty if the text is."""
    return details(title, text) if text else ""


def headed(title: str, text: str) -> str:
    """Return a text under a heading of the third level; empty if the text is."""
    return f"### {title}\n\n{text}" if text else ""


def demo(models: Sequence[SummaryModel]) -> str:
    """Return the warning that models were trained on toy data; empty if none was."""
    number = sum(model.demo for model in models)
    if not number:
        return ""
    which = "All models are" if number == len(models) else f"{number:,} of {plural(len(models), 'model')} are"
    campaigns = ", ".join(dict.fromkeys(prose(model.campaign) for model in models if model.demo))
    return f"> **Demo** ({campaigns}): {which} trained on toy data, for demonstration only. Not for physics."
