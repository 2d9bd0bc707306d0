"""The page as a whole."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final

from dispatcher.web.page.calls import call, callback
from dispatcher.web.page.schemas import shape
from dispatcher.web.page.text import code, inline, prose

_STYLE: Final = files(__package__).joinpath("style.css").read_text("utf-8")
_DIGEST: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing is loaded and nothing is run: the one style sheet stands in the page, by its digest."""


def make_page(document: dict[str, Any]) -> str:
    """An OpenAPI document of this service as HTML.

    The document is as `openapi.document` makes it: parameters have descriptions, bodies examples.
    """
    info = document["info"]
    calls = _calls(document)
    navigation = "".join(
        _group(tag["name"], calls.get(tag["name"], [])) for tag in document["tags"]
    )
    sections = "".join(_section(document, tag, calls) for tag in document["tags"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: the HTTP API</title><style>{_STYLE}</style></head><body>"
        f'<nav aria-label="Contents"><p class="title">{escape(info["title"])}</p>{navigation}'
        '<p><a href="#shapes">Shapes</a></p></nav>'
        f"<main><header><h1>{escape(info['title'])}: the HTTP API</h1>"
        f"<p>{inline(info['summary'])}</p>"
        f"<p>Version {escape(info['version'])}, at {code(document['servers'][0]['url'])}. "
        '<a href="openapi.json">openapi.json</a> says the same to programs (OpenAPI 3.1).</p>'
        f"</header>{prose(info['description'])}{sections}{_shapes(document)}</main></body></html>"
    )


def _calls(document: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """The calls of each group: method, path, operation."""
    found: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((method, path, operation))
    return found


def _group(name: str, calls: list[tuple[str, str, dict[str, Any]]]) -> str:
    items = "".join(
        f'<li><a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a></li>'
        for _, _, operation in calls
    )
    return f"<p>{escape(name)}</p><ul>{items}</ul>"


def _section(
    document: dict[str, Any],
    tag: dict[str, str],
    calls: dict[str, list[tuple[str, str, dict[str, Any]]]],
) -> str:
    written = []
    for method, path, operation in calls.get(tag["name"], []):
        written.append(call(document, method, path, operation))
        for name, urls in operation.get("callbacks", {}).items():
            written += [callback(name, url, each["post"]) for url, each in urls.items()]
    title = f"<h2>{escape(tag['name'])}</h2><p>{inline(tag['description'])}</p>"
    return f"<section>{title}{''.join(written)}</section>"


def _shapes(document: dict[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    return (
        '<section id="shapes"><h2>Shapes</h2>'
        + "".join(shape(name, schema) for name, schema in schemas.items())
        + "</section>"
    )
