"""Text as HTML: everything that comes from a document is escaped here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

_MARKS: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def prose(text: str) -> str:
    """Paragraphs, with `code` and **bold** as in Markdown; nothing else of it is needed here."""
    return "".join(f"<p>{inline(each)}</p>" for each in text.split("\n\n") if each.strip())


def inline(text: str) -> str:
    """A sentence."""
    return _MARKS.sub(
        lambda found: (
            f"<code>{found[1]}</code>" if found[1] is not None else f"<strong>{found[2]}</strong>"
        ),
        escape(text),
    )


def code(text: str) -> str:
    """A word of the API."""
    return f"<code>{escape(text)}</code>"


def block(text: str, kind: str = "") -> str:
    """Lines as they are; they can be reached and scrolled by keyboard."""
    mark = f' class="{kind}"' if kind else ""
    return f'<pre{mark} tabindex="0"><code>{escape(text)}</code></pre>'


def pretty(value: Any) -> str:
    """JSON for a person."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of HTML; empty without any."""
    if not rows:
        return ""
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, content: str, *, is_open: bool = False) -> str:
    """What is shown when it is asked for."""
    mark = " open" if is_open else ""
    return f"<details{mark}><summary>{summary}</summary>{content}</details>"
