"""The table of problems in the reference of the HTTP API, compared with the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dispatcher.core.errors import Gone, JobUnsuccessful, NotFound, RequestError, TooMany
from dispatcher.core.lifecycle import TERMINAL_EVENT
from dispatcher.core.model import JobState
from dispatcher.web import app, problems

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "http-api.md"
SOURCES = ROOT / "dispatcher"
# Raised for the command line alone: no request makes it.
NOT_OVER_HTTP = SOURCES / "engine" / "service_keys.py"

ROW = re.compile(r"\| (\d{3}) \| ([^|]*) \| [^|]+ \|")
CODE = re.compile(r"`([a-z-]+)`")


def sources() -> str:
    files = [*(SOURCES / "web").glob("*.py"), *(SOURCES / "engine").glob("*.py")]
    return "\n".join(each.read_text("utf-8") for each in files if each != NOT_OVER_HTTP)


def listed() -> list[tuple[int, str]]:
    _, _, section = PAGE.read_text("utf-8").partition("### Problems")
    table = section.partition("\n### ")[0]
    return [(int(row[1]), code) for row in ROW.finditer(table) for code in CODE.findall(row[2])]


def below(kind: type[RequestError]) -> Iterator[type[RequestError]]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


def codes_of(kind: type[Exception], words: str) -> set[str]:
    """What a problem of this kind may have as its code; `words` is the source that makes them."""
    if kind in problems._OTHER_WORDS:
        return {problems._OTHER_WORDS[kind][0]}
    if kind is NotFound:
        named = re.findall(r'NotFound\(\s*"(\w+)"|_id_of\(request, "\w+", "(\w+)"', words)
        return {f"{first or second}-not-found" for first, second in named}
    if kind is Gone:
        return {f"{what}-gone" for what in app._ERASED}
    if kind is TooMany:
        return {f"too-many-{what}s" for what in re.findall(r'TooMany\(\s*"(\w+)"', words)}
    if kind is JobUnsuccessful:
        return {f"job-{state}" for state in TERMINAL_EVENT if state is not JobState.SUCCEEDED}
    assert issubclass(kind, RequestError)
    return {kind.code}


def made() -> set[tuple[int, str]]:
    """Every status and code that a request can be answered with."""
    words = sources()
    kinds = {row[0] for row in problems._TABLE if not issubclass(row[0], RequestError)}
    kinds |= set(below(RequestError))
    pairs = {(status, code) for status, (code, _) in problems._OF_AIOHTTP.items()}
    written = re.findall(r'problem\(\s*(?:status=)?(\d{3}),\s*"([a-z-]+)"', words)
    pairs |= {(int(status), code) for status, code in written}
    for kind in kinds:
        status = next(row[1] for row in problems._TABLE if issubclass(kind, row[0]))
        pairs |= {(int(status), code) for code in codes_of(kind, words)}
    return pairs


def test_the_page_lists_every_problem_there_is_once() -> None:
    assert sorted(listed()) == sorted(made())


def test_the_page_lists_problems_in_the_order_of_their_status() -> None:
    statuses = [status for status, _ in listed()]
    assert statuses == sorted(statuses)


def test_a_refusal_is_always_of_a_kind() -> None:
    # The root has a code of its own, which the page does not list: nothing is raised as it.
    assert not re.findall(r"\braise RequestError\b", sources())


def test_the_page_tells_the_members_that_some_problems_have_besides() -> None:
    text = PAGE.read_text("utf-8")
    for member in ("errors", "parameter", "error"):
        assert f'"{member}": ' in Path(problems.__file__).read_text("utf-8")
        assert f"`{member}`" in text
