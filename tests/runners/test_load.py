from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher import Dispatcher
from dispatcher.adapters.runners.load import load_app
from dispatcher.core.errors import SettingsError

ONE = "from dispatcher import Dispatcher\napp = Dispatcher()\n"


@pytest.fixture(autouse=True)
def _imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(target: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_app(target)
    return str(caught.value)


@pytest.mark.parametrize(
    "target", ["shop_a.py", "shop_a.py:app", "./shop_a.py", "shop_a", "shop_a:app"]
)
def test_each_way_to_name_it(target: str) -> None:
    write("shop_a.py", ONE)
    assert isinstance(load_app(target), Dispatcher)


def test_an_absolute_path_and_a_module_in_a_package(tmp_path: Path) -> None:
    write("shop_b/__init__.py", "")
    write("shop_b/jobs.py", ONE)
    assert isinstance(load_app(f"{tmp_path}/shop_b/jobs.py"), Dispatcher)
    assert isinstance(load_app("shop_b.jobs:app"), Dispatcher)


def test_an_attribute_of_an_attribute() -> None:
    write("shop_c.py", ONE + "class Holder:\n    inner = Dispatcher()\n")
    assert load_app("shop_c.py:Holder.inner") is not load_app("shop_c.py:app")


def test_a_file_imports_its_neighbours_and_is_imported_once() -> None:
    write("deep/neighbour_d.py", ONE)
    write("deep/shop_d.py", "import neighbour_d\nfrom neighbour_d import app\n")
    app = load_app("deep/shop_d.py")
    assert app is sys.modules["neighbour_d"].app
    assert load_app("deep/shop_d.py") is app


def test_a_file_with_the_name_of_another_module_leaves_that_alone() -> None:
    import json  # noqa: PLC0415  # what the file is named after

    write(
        "json.py",
        ONE + "import json\nfrom dataclasses import dataclass\n@dataclass\nclass A: x: int\n",
    )
    assert isinstance(load_app("json.py"), Dispatcher)
    assert sys.modules["json"] is json


def test_the_same_app_under_two_names_is_one() -> None:
    write("shop_e.py", ONE + "also = app\n")
    assert isinstance(load_app("shop_e.py"), Dispatcher)


def test_what_is_not_there(tmp_path: Path) -> None:
    assert refused("gone.py") == f"There is no file gone.py (looked in {tmp_path})."
    assert "There is no module 'gone'" in refused("gone")
    assert "There is no module 'gone'" in refused("gone.inner:app")
    assert "names no app" in refused("")
    assert "names no app" in refused(":app")
    assert "names no app" in refused("shop.py:")
    write("notes/shop.txt", "")
    assert "must end in .py" in refused("notes/shop.txt")


def test_the_app_is_not_in_it() -> None:
    write("shop_f.py", ONE + "other = 3\n")
    assert refused("shop_f.py:App") == "shop_f.py has no 'App'. It has app."
    assert "shop_f.py:other is a int, not a Dispatcher" in refused("shop_f.py:other")
    write("shop_g.py", "")
    assert "There is no Dispatcher in shop_g.py. Make one" in refused("shop_g.py")
    assert refused("shop_g.py:app") == "shop_g.py has no 'app'."


def test_several_apps_ask_for_a_choice() -> None:
    write("shop_h.py", ONE + "b = Dispatcher()\n")
    assert "say which, as shop_h.py:app or shop_h.py:b" in refused("shop_h.py")


def test_an_import_that_fails_is_shown_with_its_cause_and_place(tmp_path: Path) -> None:
    write("shop_i.py", "import os\n1 / 0\n")
    told = refused("shop_i.py")
    assert "can't be imported: ZeroDivisionError: division by zero" in told
    assert f"({tmp_path}/shop_i.py, line 2)" in told
    assert "shop_i" not in sys.modules
    assert "ZeroDivisionError" in refused("shop_i:app")


def test_a_missing_package_of_the_app_is_not_taken_for_the_app() -> None:
    write("shop_j.py", "import not_installed_anywhere\n")
    for target in ("shop_j.py", "shop_j"):
        told = refused(target)
        assert "No module named 'not_installed_anywhere'" in told
        assert "Install it where the dispatcher is installed" in told


def test_a_syntax_error_says_where() -> None:
    write("shop_k.py", "def f(:\n")
    assert "SyntaxError: invalid syntax (shop_k.py, line 1)" in refused("shop_k.py")


def test_a_relative_import_in_a_file_is_advised() -> None:
    write("shop_l/__init__.py", "")
    write("shop_l/jobs.py", "from . import other\n")
    assert "served by its module's name: package.module:app" in refused("shop_l/jobs.py")


def test_a_program_that_ends_itself_is_advised() -> None:
    write("shop_m.py", "raise SystemExit(0)\n")
    assert 'if __name__ == "__main__"' in refused("shop_m.py")


def test_a_declaration_that_cannot_stand_says_so_itself() -> None:
    write("shop_n.py", ONE + "@app.job('A')\ndef a(): pass\n")
    assert "shop_n.py: The job type 'A' is no name" in refused("shop_n.py")
