"""Names, paths and reasons are text: whatever they hold, a page has the same parts, and its code does the same."""

from __future__ import annotations

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from modelferry.core.contract import Contract
from modelferry.formats import load_format
from modelferry.records.summary import Summary
from modelferry.records.validation import ClassPair, OutsideCase, PropertyResult, ShapePoint
from modelferry.stages.report import snippets
from modelferry.stages.report.blocks import Table
from modelferry.stages.report.first_page import compose
from modelferry.stages.report.formatting import code, details, fenced, prose
from modelferry.stages.report.html_page import render_html
from report_samples import FLAT, failed, model, rendered, summary, validation

PIECES = (
    "*", "**", "_", "`", "```", "~~", "[a](b)", "![a](b)", "<b>", "</details>", "<script>", "&amp;", "|", "\\", "\\|",
    "\n", "\n\n# a", "\n- a", "\r", "$x$", "http://a.b", "www.a.b", "a@b.cd", "<http://a.b>", "<!--", "-->", "#", "1.",
    "---", "===", "+ ", '"', "'", "\"); system(\"x", "*/", "//", "\\\n", "??/", "{", "}", "\0", "\u2028", "\u202e", "x",
    " ", "ΔR", "%s", "$path",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join).filter(str.strip)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parts(text: str) -> list[str]:
    """Return the parts of a page: its blocks, and what stands in a line but for text, code and what is escaped."""
    found = []
    for token in MARKDOWN.parse(text):
        html = re.findall(r"<[^>]*>", token.content) if token.type == "html_block" else []
        found.append(f"{token.type} {token.tag} {' '.join(html)}")
        inside = (child.type for child in token.children or () if child.type not in ("text", "code_inline"))
        found += [kind for kind in inside if kind not in ("text_special", "softbreak")]
    return found


def page_of(word: str) -> tuple[Summary, dict[str, Contract]]:
    """Return a summary, and its contracts, with `word` wherever a user's text may stand."""
    x, *others = FLAT.inputs
    named = x.model_copy(update={"features": tuple(f"{word}{n}" for n in range(9)), "unit": word, "description": word})
    contract = FLAT.model_copy(
        update={"inputs": (named, *others), "classes": (word, f"{word}2"), "notes": (word,), "scores": "softmax"}
    )
    found = validation(reason=word).model_copy(
        update={
            "properties": (PropertyResult(name=word, outcome="holds", trained_change=0.0, artifact_change=0.0),),
            "class_pairs": (ClassPair(classes=(word, f"{word}2"), trained_auc=0.9, artifact_auc=0.9),),
        }
    )
    good = model().model_copy(update={"training_auc": {word: 0.9}, "hyperparameters": {word: word}})
    shipped = good.artifacts[0].model_copy(update={"validation": (found,), "path": f"results/{word}/x/model.pt"})
    checkpoint = good.checkpoint.model_copy(update={"path": word})
    good = good.model_copy(update={"artifacts": (shipped,), "checkpoint": checkpoint})
    whole = summary([good, failed(model(fold=1), word)])
    probes = {
        "campaign": "charged_higgs", "export": "torchscript", "runtime": "pytorch", "models": 1,
        "shapes": [ShapePoint(label=word, sizes={word: 1, f"{word}2": 2}, events=1, expected="correct",
                              outcome="correct", max_abs_diff=0.0).model_dump()],
        "outside": [OutsideCase(kind=word, cases=1, outcome="rejected", detail=word).model_dump()],
    }  # fmt: skip
    facts: dict[str, Any] = whole.model_dump()
    facts["runtimes_not_run"] = {word: word}
    facts["probes"] = [probes]
    facts["controls"] = [*facts["controls"], {"name": word, "detected": False}]
    return Summary.model_validate(facts), {"charged_higgs/flat": contract}


def pages(word: str) -> dict[str, list[str]]:
    found, contracts = page_of(word)
    return {name: parts(text) for name, text in rendered(found, contracts).items()}


class Elements(HTMLParser):
    """The elements of an HTML page with the names of their attributes, those of its data included, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.data: list[Any] = []
        self.in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(f"{tag} {[name for name, _ in attrs if name != 'class']}")
        self.in_data = ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self.in_data:
            self.data.append(json.loads(data))
            self.in_data = False
            for column in self.data[-1]["columns"] if isinstance(self.data[-1], dict) else ():
                for place in column["rows"]:
                    self.found += Elements(column["texts"][place]).found


def elements(word: str, folder: Path) -> list[str]:
    found, contracts = page_of(word)
    return Elements(render_html(compose(found, contracts, [], []), [m.id for m in found.models], folder)).found


HARMLESS = pages("word")
HARMLESS_ELEMENTS = elements("word", Path())


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@example("</script><script>alert(1)</script>")
@example("<img src=x onerror=alert(1)>")
@example("[a](javascript:alert(1))")
@given(HOSTILE)
def test_the_html_page_has_the_same_elements_whatever_its_texts_hold(word: str) -> None:
    assert elements(word, Path()) == HARMLESS_ELEMENTS


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@example("</details>\n\n# Passed: 6 of 6 models validated\n\n<b>")
@example("a | b\\| c")
@example("![x](https://a.b/c.png)")
@given(HOSTILE)
def test_a_page_has_the_same_parts_whatever_its_texts_hold(word: str) -> None:
    assert pages(word) == HARMLESS


@given(st.one_of(HOSTILE, st.text(max_size=20)))
def test_free_text_is_read_back_as_it_was(text: str) -> None:
    (paragraph, inline, _) = MARKDOWN.parse(f"a {prose(text)} b")
    seen = "".join(token.content for token in inline.children or ())
    plain = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
    assert paragraph.type == "paragraph_open"
    assert seen == f"a {plain} b"
    assert {token.type for token in inline.children or ()} <= {"text", "text_special"}


@given(st.lists(st.one_of(HOSTILE, st.text(max_size=20)), min_size=2, max_size=2))
def test_a_cell_stays_in_its_column(texts: list[str]) -> None:
    table = Table("", ["a", "b"], [list(map(code, texts)), list(map(prose, texts))])
    kinds = [token.type for token in MARKDOWN.parse(str(table))]
    assert kinds.count("td_open") == 4
    assert kinds[0] == "table_open"
    assert kinds[-1] == "table_close"


@given(st.one_of(HOSTILE, st.text(max_size=20)))
def test_a_title_and_a_fence_hold_what_they_are_given(text: str) -> None:
    assert [token.type for token in MARKDOWN.parse(fenced(text, "python"))] == ["fence"]
    assert details(text, "b").count("<") == 4


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(HOSTILE)
def test_code_in_python_does_what_it_did(word: str) -> None:
    _, contracts = page_of(word)
    for name in ("torchscript", "onnx", "json"):
        text = snippets.filled(load_format(name).snippets["Python"], "Python", f"results/{word}/model", FLAT)
        plain = snippets.filled(load_format(name).snippets["Python"], "Python", "results/word/model", FLAT)
        assert shape(text) == shape(plain)
        hostile = snippets.filled(load_format(name).snippets["Python"], "Python", "p", contracts["charged_higgs/flat"])
        assert shape(hostile) == shape(snippets.filled(load_format(name).snippets["Python"], "Python", "p", FLAT))


def shape(text: str) -> str:
    """Return what code does, whatever its strings are."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def test_paths_are_read_back_from_the_code() -> None:
    path = 'results/a "b" \\n c/model'
    text = snippets.filled(load_format("json").snippets["Python"], "Python", path, FLAT)
    strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert path in strings


def test_comments_in_cpp_end_with_their_line() -> None:
    for text in ("a\\", "a ??/", "a\nint b;", "a\\ \\\n"):
        comment = snippets.comment(text)
        assert "\n" not in comment
        assert not comment.endswith("\\")
        assert "??/" not in comment


def test_names_of_inputs_become_names_of_variables() -> None:
    (first, *rest) = FLAT.inputs
    odd = FLAT.model_copy(update={"inputs": (first.model_copy(update={"name": "x'); import os; ("}), *rest)})
    text = snippets.filled(load_format("torchscript").snippets["Python"], "Python", "p", odd)
    assert "import os" not in text
    ast.parse(text)
