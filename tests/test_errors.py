"""Where errors stand: one tree, and what is no part of it stays within its layer."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dispatcher
from dispatcher.core.errors import DispatcherError, RequestError, Verdict

PACKAGE = Path(dispatcher.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


@cache
def exceptions() -> tuple[type[BaseException], ...]:
    """Every exception that the package defines."""
    found: list[type[BaseException]] = []
    for path in SOURCES:
        if path.stem != "__main__":
            module = importlib.import_module(name_of(path))
            found += (
                each
                for each in vars(module).values()
                if isinstance(each, type)
                and issubclass(each, BaseException)
                and each.__module__ == module.__name__
            )
    return tuple(found)


def imported() -> Iterator[tuple[str, object]]:
    """Who imports what from where in the package."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dispatcher"):
                source = importlib.import_module(node.module or "")
                for each in node.names:
                    yield name_of(path), getattr(source, each.name, None)


def test_what_is_no_part_of_the_tree_is_known_in_its_layer_alone() -> None:
    apart = {each for each in exceptions() if not issubclass(each, DispatcherError | Verdict)}
    assert {each.__name__ for each in apart} >= {"SlowReader", "RowHeld", "LookupFailed"}
    strays = {
        (user, each.__name__)
        for user, each in imported()
        if isinstance(each, type) and each in apart and layer_of(user) != layer_of(each.__module__)
    }
    assert strays == set()


def test_refusals_of_the_api_stand_in_two_places() -> None:
    homes = {each.__module__ for each in exceptions() if issubclass(each, RequestError)}
    assert homes == {"dispatcher.core.errors", "dispatcher.web.refusals"}


def test_a_command_names_no_error_as_the_service_or_the_client_does() -> None:
    own = {each.__name__ for each in exceptions() if layer_of(each.__module__) == "cli"}
    others = {each.__name__ for each in exceptions() if layer_of(each.__module__) != "cli"}
    assert own & others == set()
