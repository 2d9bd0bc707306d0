"""Types that `dispatcher.toml` declares: what stands, what is refused, and what is made of them."""

from __future__ import annotations

import tomllib
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher import Dispatcher
from dispatcher.adapters.runners.declared import declared_runners
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.system import SystemClock
from dispatcher.cli.examine import examine
from dispatcher.cli.findings import Level
from dispatcher.compose.parts import served_types
from dispatcher.core.errors import SettingsError
from dispatcher.core.retry import JobBackoff
from dispatcher.ports.runner import Runner
from dispatcher.settings import CommandType, HttpType, RemoteType, Settings, parse_settings
from dispatcher.settings.types import DeclaredType, fields_of, parse_types

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
BOTH = """
[types."media.probe"]
runner = "command"
command = ["cat", "-"]
timeout_seconds = 60
max_attempts = 2
concurrency = 7
environment = { LANG = "C" }
backoff_seconds = 5000

[types."pdf.render"]
runner = "http"
url = "http://10.0.0.5:9000/render"
safe_to_repeat = true
"""


def types_of(toml: str) -> tuple[DeclaredType, ...]:
    return parse_types(tomllib.loads(toml)["types"], "dispatcher.toml")


class NoSigning:
    async def headers(self, caller_id: str, id_: str, body: bytes) -> list[tuple[str, str]]:
        raise AssertionError


def runners_of(toml: str) -> dict[str, Runner]:
    return declared_runners(
        types_of(toml),
        children=Children(),
        signs=NoSigning(),
        clock=SystemClock(),
        connect_seconds=5,
        user_agent="x",
    )


def test_the_file_declares_types_beside_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "dispatcher.toml"
    file.write_text("port = 9\n" + BOTH)
    settings = parse_settings(environ={}, config=file).settings
    assert settings.port == 9
    probe, render = settings.types
    assert isinstance(probe, CommandType)
    assert (probe.name, probe.command, probe.concurrency) == ("media.probe", ("cat", "-"), 7)
    assert isinstance(render, HttpType)
    assert (render.url, render.safe_to_repeat) == ("http://10.0.0.5:9000/render", True)
    assert (render.max_attempts, render.timeout_seconds, render.concurrency) == (3, 600, 16)


def test_they_become_runners(tmp_path: Path) -> None:
    found = runners_of(BOTH)
    assert {name: type(each).__name__ for name, each in found.items()} == {
        "media.probe": "CommandRunner",
        "pdf.render": "HttpRunner",
    }
    probe = found["media.probe"]
    assert (probe.type.runner, probe.type.timeout_seconds, probe.type.max_attempts) == (
        "command",
        60.0,
        2,
    )
    assert probe.type.concurrency == 7
    assert probe.backoff == JobBackoff(first_seconds=5_000, max_seconds=5_000)
    assert found["pdf.render"].type.runner == "http"


def test_a_schema_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "probe.json"
    file.write_text('{"type": "object"}')
    toml = f'{BOTH}schema = "{file}"'
    assert runners_of(toml)["pdf.render"].type.schema == b'{"type": "object"}'
    file.write_text("[")
    with pytest.raises(SettingsError, match=r"'pdf\.render': schema .* is not JSON"):
        types_of(toml)
    file.write_text("[]")
    with pytest.raises(SettingsError, match="is JSON, but no JSON Schema"):
        types_of(toml)
    file.unlink()
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        types_of(toml)


COMMAND = 'runner = "command"\ncommand = ["cat"]\n'
HTTP = 'runner = "http"\nurl = "http://h/"\n'


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "runner is one of command, http"),
        ('runner = "shell"', "runner is one of command, http"),
        ('runner = "command"', "missing required field `command`"),
        ('runner = "command"\ncommand = "cat x"', "Expected `array`, got `str`"),
        ('runner = "command"\ncommand = []', "command must name a program"),
        ('runner = "command"\ncommand = [""]', "command must name a program"),
        ('runner = "command"\ncommand = ["cat", "\\u0000"]', "can't have NUL"),
        (COMMAND + 'environment = { "A=B" = "1" }', "no variable named|can't have a variable"),
        (COMMAND + 'url = "http://h/"', "runner 'command' has no 'url'"),
        (COMMAND + "timout_seconds = 3", "did you mean timeout_seconds?"),
        (COMMAND + "timeout_seconds = 0", r"Expected `float` >= 0.001 - at `\$.timeout_seconds`"),
        (COMMAND + "timeout_seconds = nan", "timeout_seconds must be a finite number"),
        (COMMAND + "max_timeout_seconds = 1", "can't be less than timeout_seconds"),
        (COMMAND + "most_attempts = 1", "most_attempts can't be less than max_attempts"),
        (COMMAND + "max_attempts = 0", "max_attempts"),
        (COMMAND + 'queue = "A b"', "queue 'A b' is no name"),
        (COMMAND + "name = 'x'", "has no 'name'"),
        ('runner = "http"\nurl = "ftp://h/"', "url can't be used: The URL must be absolute"),
        ('runner = "http"\nurl = "http://u:p@h/"', "a user name or a password"),
        (HTTP + "safe_to_repeat = 1", "Expected `bool`, got `int`"),
    ],
)
def test_what_cannot_stand_is_told_with_its_name(table: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        types_of(f"[types.x]\n{table}")
    assert str(refused.value).startswith("dispatcher.toml: the type 'x': ")


@pytest.mark.parametrize("name", ["A", "a b", "dispatcher.x", "x" * 101])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(SettingsError, match=r"is no name|are built in"):
        types_of(f'[types."{name}"]\n{HTTP}')


@pytest.mark.parametrize("name", ["pdf.render", "pdf.render.v2"])
def test_a_name_with_dots_that_is_not_quoted(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        types_of(f"[types.{name}]\n{HTTP}")
    assert f'a name with dots is quoted: [types."{name}"]' in str(refused.value)


def test_the_table_of_the_environment_is_no_part_of_a_name() -> None:
    with pytest.raises(SettingsError, match="runner is one of command, http"):
        types_of('[types.x.environment]\nLANG = "C"')


@pytest.mark.parametrize("found", [3, {"x": 3}, [{}]])
def test_types_that_are_no_tables(found: object) -> None:
    with pytest.raises(SettingsError, match="types are tables"):
        parse_types(found, "dispatcher.toml")


def test_a_program_that_is_not_there_is_told_at_the_start() -> None:
    with pytest.raises(SettingsError, match="'x': there is no program 'no-such-program'"):
        runners_of('[types.x]\nrunner = "command"\ncommand = ["no-such-program"]')


def test_the_doctor_names_a_program_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "dispatcher.toml"
    file.write_text(BOTH.replace('"cat"', '"no-such-program"'))
    found = [each for each in examine({}, {}, file) if each.check == "type"]
    assert [each.level for each in found] == [Level.FAIL, Level.OK]
    assert "'no-such-program'" in found[0].detail


def test_a_schema_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"type": "strin"}')
    settings = Settings(types=types_of(f'{BOTH}schema = "{tmp_path}/bad.json"'))
    with pytest.raises(SettingsError, match=r"The schema of type pdf\.render is no JSON Schema"):
        served_types(settings, None)


def test_the_schema_of_a_result_is_read_at_the_start_too() -> None:
    with pytest.raises(SettingsError, match=r"result_schema 'none\.json' can't be read"):
        types_of('[types.a]\nrunner = "remote"\nresult_schema = "none.json"')


def test_a_bound_may_be_just_what_holds_without_a_word() -> None:
    bounds = "timeout_seconds = 9.5\nmax_timeout_seconds = 9.5\nmax_attempts = 2\nmost_attempts = 2"
    (found,) = types_of(f'[types.a]\nrunner = "remote"\n{bounds}')
    assert (found.max_timeout_seconds, found.most_attempts) == (9.5, 2)


@pytest.mark.parametrize(
    "how", ['"command"\ncommand = ["cat"]', '"http"\nurl = "http://a/"', '"remote"']
)
def test_what_holds_for_all_is_asked_of_every_kind(how: str) -> None:
    for wrong in ('queue = "No Queue"', "most_attempts = 1"):
        with pytest.raises(SettingsError, match=r"no name|most_attempts can't be less"):
            types_of(f"[types.a]\nrunner = {how}\n{wrong}")


def test_a_type_of_the_app_cannot_be_declared_again() -> None:
    app = Dispatcher()

    @app.job("pdf.render")
    async def render() -> None: ...

    settings = Settings(types=types_of(BOTH))
    assert [each.name for each in served_types(settings, None)] == [
        "dispatcher.echo",
        "dispatcher.redeliver",
        "dispatcher.replay",
        "dispatcher.cancel",
        "media.probe",
        "pdf.render",
    ]
    with pytest.raises(SettingsError, match=r"'pdf\.render' is declared by the app and in the"):
        served_types(settings, app)


# --- The reference page ------------------------------------------------------------------------


def row(kind: type[DeclaredType], name: str, hint: Any) -> str:
    field = next(each for each in msgspec.structs.fields(kind) if each.name == name)
    default = "needed" if field.required else shown(field.default)
    inner, meta = typing.get_args(hint)[:2]
    bounds = next((each for each in metas(hint) if each.ge is not None), None)
    kinds = {bool: "`true` or `false`", tuple[str, ...]: "list", dict[str, str]: "table"}
    span = f"{bounds.ge:,} to {bounds.le:,}" if bounds else kinds.get(inner, "text")
    return f"| `{name}` | {default} | {span} | {meta.description} |"


def metas(hint: Any) -> list[msgspec.Meta]:
    """Those of an annotation and of what it holds: `Annotated[Annotated[int, …] | None, …]`."""
    found = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, msgspec.Meta)]
    return found + [meta for each in typing.get_args(hint) for meta in metas(each)]


def shown(default: object) -> str:
    if default in {None, "", msgspec.NODEFAULT}:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


@pytest.mark.parametrize("kind", [DeclaredType, CommandType, HttpType, RemoteType])
def test_the_reference_page_lists_what_a_type_may_say(kind: type[DeclaredType]) -> None:
    common = fields_of(DeclaredType)
    own = {name: hint for name, hint in fields_of(kind).items() if name not in common}
    rows = [row(kind, name, hint) for name, hint in (own or common).items()]
    table = "| key | default | range | what it does |\n|---|---|---|---|\n" + "\n".join(rows)
    page = REFERENCE.read_text("utf-8")
    assert table in page, f"docs/reference/settings.md must hold this table:\n{table}"
