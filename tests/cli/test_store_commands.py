"""`callers create` and `migrate`: commands that open the store themselves."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dispatcher.adapters.secrets import key_file
from dispatcher.cli.main import main
from dispatcher.cli.opening import opened
from dispatcher.core.model import ApiKey, Caller, Role
from dispatcher.core.signature import parse_secret
from dispatcher.engine.callers import digest_of
from dispatcher.settings import Settings
from dispatcher.stores import open_store

DATABASE = Path("dispatcher.db")


class Known(NamedTuple):
    """What a running service would find of an API key."""

    key: ApiKey
    caller: Caller
    secrets: list[bytes]


def known(api_key: str, settings: Settings | None = None) -> Known | None:
    async def look() -> Known | None:
        async with opened(settings or Settings()) as both:
            found = await both.store.find_key(digest_of(api_key))
            if found is None:
                return None
            key, caller = found
            sealed = await both.store.sealed_secrets(caller.id)
            return Known(key, caller, [both.vault.open(each, caller.id) for each in sealed])

    return asyncio.run(look())


def output(capsys: pytest.CaptureFixture[str]) -> Any:
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


# --- callers create ----------------------------------------------------------------------------


def test_a_caller_is_made_and_its_key_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callers", "create", "shop", "--json"]) == 0
    made = output(capsys)
    assert re.fullmatch(r"clr_[0-9a-f]{32}", made["id"])
    assert re.fullmatch(r"key_[0-9a-f]{32}", made["keyId"])
    assert (made["name"], made["role"]) == ("shop", "caller")
    found = known(made["apiKey"])
    assert found is not None
    assert (found.key.id, found.key.role) == (made["keyId"], Role.CALLER)
    assert (found.caller.id, found.caller.name) == (made["id"], "shop")
    assert found.secrets == [parse_secret(made["secret"])]
    assert len(found.secrets[0]) == 32


def test_key_and_secret_are_readable_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    main(["callers", "create", "shop", "--json"])
    made = output(capsys)
    secret = parse_secret(made["secret"])
    for path in Path().glob("dispatcher.db*"):
        content = path.read_bytes()
        for told in (made["apiKey"], made["apiKey"][4:], made["secret"], made["secret"][6:]):
            assert told.encode() not in content, path
        assert secret not in content, path


def test_what_a_person_sees(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callers", "create", "shop", "--role", "operator"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"Caller shop \(clr_[0-9a-f]{32}\), role operator\n", out)
    (api_key,) = re.findall(r"API key  (dsp_\S{43})\n", out)
    assert re.search(r"secret   whsec_\S{44}\n", out)
    found = known(api_key)
    assert found is not None
    assert found.key.role is Role.OPERATOR


def test_that_the_database_was_made_new_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callers", "create", "shop"]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"dispatcher: warning: {DATABASE.absolute()} was not there and was made")
    assert "--store" in err
    assert err.count("\n") == 1
    assert main(["callers", "create", "other"]) == 0
    assert capsys.readouterr().err == ""


def test_a_name_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callers", "create", "shop"]) == 0
    capsys.readouterr()
    assert main(["callers", "create", "shop"]) == 1
    assert capsys.readouterr().err == (
        "dispatcher: A caller named 'shop' is there already: choose another name.\n"
    )


@pytest.mark.parametrize("name", ["", "Shop", "-x", "a b", "a" * 101, "a\n", "dev", "dispatcher"])
def test_a_name_that_can_not_be(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callers", "create", "--", name]) == 2
    assert "NAME" in capsys.readouterr().err
    assert not DATABASE.exists()


def test_beside_a_running_service(capsys: pytest.CaptureFixture[str]) -> None:
    async def beside() -> None:
        async with open_store(Settings()) as running:
            await running.check()
            await asyncio.to_thread(main, ["callers", "create", "shop", "--json"])
            made = output(capsys)
            assert await running.find_key(digest_of(made["apiKey"])) is not None

    asyncio.run(beside())


def test_another_store_may_be_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    Path("dispatcher.toml").write_text("store = 'sqlite:///configured.db'")
    assert main(["callers", "create", "shop", "--store", url]) == 0
    assert (tmp_path / "other.db").exists()
    assert main(["callers", "create", "shop"]) == 0
    assert Path("configured.db").exists()
    assert not DATABASE.exists()


def test_a_warning_of_the_environment_does_not_spoil_the_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_PROT", "1")
    assert main(["callers", "create", "shop", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["name"] == "shop"
    assert err.startswith("dispatcher: warning: DISPATCHER_PROT in the environment is no setting")


def test_a_store_that_can_not_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callers", "create", "shop", "--store", "sqlite:///gone/x.db"]) == 1
    err = capsys.readouterr().err
    assert "gone" in err
    assert err.count("\n") == 1


# --- migrate -----------------------------------------------------------------------------------


def test_migrate_makes_the_database_and_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--json"]) == 0
    assert output(capsys) == {"database": "dispatcher.db", "created": True}
    assert DATABASE.exists()
    assert key_file(DATABASE).exists()
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "dispatcher.db is up to date.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--to", "postgresql://x/y"], "--to and --undo need --from"),
        (["--undo"], "--to and --undo need --from"),
        (["--from", "sqlite:///a.db"], "--from goes with --to, or with --undo"),
        (["--from", "sqlite:///a.db", "--to", "postgresql://x/y", "--undo"], "--from goes with"),
        (["--from", "sqlite:///a.db", "--to", "sqlite:///b.db"], "there is no other way to move"),
        (["--from", "postgresql://x/y", "--to", "sqlite:///b.db"], "there is no other way to move"),
    ],
)
def test_migrate_moves_from_a_file_to_postgresql_alone(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["migrate", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_missing_file_is_told_of_before_its_key_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["migrate", "--from", "sqlite:///none.db", "--to", "postgresql://x/y"]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_a_file_that_was_not_moved_has_nothing_to_undo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--from", "sqlite:///none.db", "--undo"]) == 1
    assert "There is no file" in capsys.readouterr().err
    main(["migrate"])
    capsys.readouterr()
    assert main(["migrate", "--from", "sqlite:///dispatcher.db", "--undo", "--json"]) == 0
    assert output(capsys)["moved"] is False
