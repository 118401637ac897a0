"""HTML for notebooks: what Jupyter shows of an object that has ``_repr_html_``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()) -> str:
    """Return a table with its title above and notes below; columns without a value are left out."""
    filled = [tuple(map(str, row)) for row in rows]
    kept = [column for column, _ in enumerate(header) if any(row[column] for row in filled)]
    head = "".join(f"<th>{escape(header[column])}</th>" for column in kept)
    body = "".join(f"<tr>{''.join(f'<td>{escape(row[c])}</td>' for c in kept)}</tr>" for row in filled)
    caption = f"<p><b>{escape(title)}</b></p>"
    listed = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{listed}"
