"""Finds the `Dispatcher` that a person names on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from dispatcher.adapters.runners.declare import Dispatcher
from dispatcher.core.errors import SettingsError


def load_app(target: str) -> Dispatcher:
    """The Dispatcher that `target` names: `file.py`, `file.py:app`, `module` or `module:app`.

    Without an attribute it is the only one in the module. The folder of a file, as with
    `python file.py`, or the current folder for a module, comes first in the import path.

    Raises:
        SettingsError: nothing there, or more than one; or the import failed, with its cause.
    """
    place, colon, attribute = target.rpartition(":")
    if not colon:
        place, attribute = target, ""
    if not place or (colon and not attribute):
        raise SettingsError(f"{target!r} names no app: write file.py, file.py:app or module:app.")
    path = Path(place)
    is_file = path.suffix == ".py" or len(path.parts) > 1
    module = import_file(path) if is_file else _from_name(place)
    return _named(module, attribute, place) if attribute else _only(module, place)


def import_file(path: Path) -> ModuleType:
    """Import a file as a module; its folder comes first in the import path, as `python` has it.

    Raises:
        SettingsError: it can't be; the message says why.
    """
    if path.suffix != ".py":
        raise SettingsError(f"{path} is no Python file: its name must end in .py.")
    if not path.is_file():
        raise SettingsError(f"There is no file {path} (looked in {Path.cwd()}).")
    path = path.resolve()
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None:
        if _is_from(loaded, path):
            return loaded
        name = f"_app_{name}"  # such as json.py: the module of that name stays what it is
    _put_first(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{path} can't be imported as a Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise _failed(str(path), error) from error
    return module


def _from_name(name: str) -> ModuleType:
    _put_first(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise SettingsError(
                f"There is no module {error.name!r} (looked in {Path.cwd()} and in what is "
                "installed). For a file, write its name with .py."
            ) from error
        raise _failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _failed(what: str, error: Exception | SystemExit) -> SettingsError:
    """What to say when the import of `what` raised `error`."""
    if isinstance(error, SettingsError):  # a declaration that can't stand says so itself
        return SettingsError(f"{what}: {error}")
    if isinstance(error, SystemExit):
        return SettingsError(
            f"{what} ends the process when it is imported. Put what it runs as a program under "
            '`if __name__ == "__main__":`.'
        )
    cause = f"{type(error).__name__}: {error}"
    advice = ""
    if isinstance(error, ImportError) and "relative import" in str(error):
        advice = " A file inside a package is served by its module's name: package.module:app."
    elif isinstance(error, ModuleNotFoundError):
        advice = " Install it where the dispatcher is installed, or mend the name."
    return SettingsError(f"{what} can't be imported: {cause}{_at(error)}.{advice}")


def _at(error: Exception) -> str:
    """Where the import failed: the last line of the person's own that the traceback knows."""
    if isinstance(error, SyntaxError):
        return ""  # its text has file and line
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename]
    own = [frame for frame in own if frame.filename != __file__]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _named(module: ModuleType, attribute: str, place: str) -> Dispatcher:
    found: object = module
    for step in attribute.split("."):
        if not hasattr(found, step):
            there = _names(module)
            known = f" It has {', '.join(there)}." if there else ""
            raise SettingsError(f"{place} has no {attribute!r}.{known}")
        found = getattr(found, step)
    if not isinstance(found, Dispatcher):
        raise SettingsError(
            f"{place}:{attribute} is a {type(found).__name__}, not a Dispatcher: name the object "
            "made by `app = Dispatcher()`."
        )
    return found


def _only(module: ModuleType, place: str) -> Dispatcher:
    names = _names(module)
    apps = {id(vars(module)[name]) for name in names}
    if not apps:
        raise SettingsError(
            f"There is no Dispatcher in {place}. Make one at the top of the module: "
            "`app = Dispatcher()`."
        )
    if len(apps) > 1:
        raise SettingsError(
            f"There are {len(apps)} Dispatchers in {place}: say which, as {place}:{names[0]} or "
            f"{place}:{names[1]}."
        )
    found = vars(module)[names[0]]
    assert isinstance(found, Dispatcher)  # noqa: S101  # for the type checker: _names saw to it
    return found


def _names(module: ModuleType) -> list[str]:
    return sorted(name for name, value in vars(module).items() if isinstance(value, Dispatcher))


def _put_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _is_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path
