"""`/docs`: the description as a page that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from html.parser import HTMLParser

from dispatcher.core.model import JobType
from dispatcher.web.app import make_app
from dispatcher.web.page.text import inline, prose
from tests.web.edge import DEV, Edge
from tests.web.route_table import routes_of

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>&\"'"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Whether the tags are closed as they were opened, and what there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_it_is_whole_and_loads_nothing(edge: Edge) -> None:
    answer = await edge.call("GET", "/docs", key=None)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(answer.body.decode())
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    assert page.attributes <= {
        "lang",
        "charset",
        "name",
        "content",
        "id",
        "class",
        "href",
        "open",
    } | {
        "tabindex",
        "aria-label",
    }
    assert len(set(page.ids)) == len(page.ids)
    inner = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids)
    assert page.links - {f"#{each}" for each in inner} == {"openapi.json"}


async def test_its_policy_lets_nothing_in_but_its_style(edge: Edge) -> None:
    answer = await edge.call("GET", "/docs", key=None)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert "url(" not in style
    assert "@import" not in style


async def test_it_has_every_call_that_is_served() -> None:
    async with Edge(dev=DEV).running() as edge:
        text = (await edge.call("GET", "/docs", key=None)).body.decode()
        routes = routes_of(make_app(edge.services))
    for method, path in routes:
        assert f"{method}</span> <code>{escape(path)}</code>" in text, path
    assert "Authorization: Bearer $" not in text  # in --dev no key is needed
    assert "{$request.body#/callbackUrl}" in text


async def test_what_operators_wrote_is_text_and_nothing_else() -> None:
    edge = Edge()
    schema = {"type": "object", "description": HOSTILE, "properties": {HOSTILE: {"const": HOSTILE}}}
    kind = JobType(name="hostile", runner="python", schema=json.dumps(schema).encode())
    edge.services.catalog.put([kind])
    async with edge.running():
        text = (await edge.call("GET", "/docs", key=None)).body.decode()
    assert "script" not in Page(text).tags
    assert escape(json.dumps(HOSTILE)) in text


def test_prose_is_escaped_and_marked() -> None:
    assert inline("a `b<c>` **d** <e>") == (
        "a <code>b&lt;c&gt;</code> <strong>d</strong> &lt;e&gt;"
    )
    assert prose("one\n\ntwo `x`") == "<p>one</p><p>two <code>x</code></p>"
