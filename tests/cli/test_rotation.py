"""`callers list`, `rotate-secret` and `keys`, and `keys`: changes beside a running service."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.main import main
from dispatcher.cli.opening import opened
from dispatcher.core.ed25519 import parse_public_key
from dispatcher.core.signature import parse_secret
from dispatcher.engine.callers import digest_of
from dispatcher.settings import Settings

Capture = pytest.CaptureFixture[str]


def done(capsys: Capture, *arguments: str) -> Any:
    """What a command that succeeds prints as JSON."""
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def said(capsys: Capture, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def failed(capsys: Capture, *arguments: str, code: int = 1) -> str:
    assert main(list(arguments)) == code
    return capsys.readouterr().err


def secrets_of(caller_id: str) -> list[bytes]:
    async def look() -> list[bytes]:
        async with opened(Settings()) as both:
            sealed = await both.store.sealed_secrets(caller_id)
            return [both.vault.open(each, caller_id) for each in sealed]

    return asyncio.run(look())


def is_revoked(api_key: str) -> bool:
    async def look() -> bool:
        async with opened(Settings()) as both:
            found = await both.store.find_key(digest_of(api_key))
            assert found is not None
            return found[0].revoked_at is not None

    return asyncio.run(look())


@pytest.fixture
def made(capsys: Capture) -> None:
    """A database that nobody has served yet."""
    done(capsys, "migrate")


@pytest.fixture
def shop(capsys: Capture) -> Any:
    return done(capsys, "callers", "create", "shop")


# --- without a database ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "callers list",
        "callers limits shop",
        "callers rotate-secret shop",
        "callers keys create shop",
        "callers keys revoke shop key_1",
        "keys list",
        "keys rotate",
    ],
)
def test_where_there_is_no_database_none_is_made(capsys: Capture, words: str) -> None:
    told = failed(capsys, *words.split())
    place = Path("dispatcher.db").absolute()
    assert told.startswith(f"dispatcher: there is no database at {place}: if a service has one")
    assert told.count("\n") == 1
    assert list(Path().iterdir()) == []


# --- callers -----------------------------------------------------------------------------------


def test_the_list_shows_callers_and_never_their_keys_or_secrets(capsys: Capture, shop: Any) -> None:
    done(capsys, "callers", "create", "ops", "--role", "operator")
    newest, oldest = done(capsys, "callers", "list")["items"]
    assert (newest["name"], oldest["name"]) == ("ops", "shop")
    assert oldest["id"] == shop["id"]
    (key,) = oldest["keys"]
    assert (key["id"], key["role"], key["expiresAt"]) == (shop["keyId"], "caller", None)
    assert [each["expiresAt"] for each in oldest["secrets"]] == [None]
    text = said(capsys, "callers", "list")
    assert f"shop ({shop['id']})" in text
    assert shop["keyId"] in text
    for told in (shop["apiKey"], shop["secret"]):
        assert told not in text


def test_more_callers_than_a_page(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.cli.callers._PAGE", 2)
    for number in range(5):
        done(capsys, "callers", "create", f"shop-{number}")
    names = [each["name"] for each in done(capsys, "callers", "list")["items"]]
    assert names == [f"shop-{number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_secret_is_rotated_with_an_overlap(capsys: Capture, shop: Any, by: str) -> None:
    rotated = done(capsys, "callers", "rotate-secret", shop[by])
    assert rotated["callerId"] == shop["id"]
    new, old = parse_secret(rotated["secret"]), parse_secret(shop["secret"])
    assert secrets_of(shop["id"]) == [new, old]
    last = done(capsys, "callers", "rotate-secret", shop[by], "--overlap", "0")
    assert secrets_of(shop["id"]) == [parse_secret(last["secret"])]


def test_what_a_person_sees_of_a_rotation(capsys: Capture, shop: Any) -> None:
    text = said(capsys, "callers", "rotate-secret", "shop")
    (secret,) = re.findall(r"secret   (whsec_\S{44})\n", text)
    assert secrets_of(shop["id"])[0] == parse_secret(secret)
    assert "signs beside it until 20" in text


@pytest.mark.parametrize("overlap", ["-1", "604801", "nan", "1d"])
def test_an_overlap_that_can_not_be(capsys: Capture, shop: Any, overlap: str) -> None:
    assert "--overlap" in failed(
        capsys, "callers", "rotate-secret", "shop", f"--overlap={overlap}", code=2
    )
    assert len(secrets_of(shop["id"])) == 1


def test_a_secret_is_not_rotated_more_often_than_may_be_in_force(
    capsys: Capture, shop: Any
) -> None:
    for _ in range(4):
        done(capsys, "callers", "rotate-secret", "shop")
    assert "overlap of 0" in failed(capsys, "callers", "rotate-secret", "shop")
    assert len(secrets_of(shop["id"])) == 5


@pytest.mark.parametrize(
    "command",
    [("rotate-secret", "nobody"), ("keys", "create", "nobody"), ("keys", "revoke", "nobody", "k")],
)
@pytest.mark.usefixtures("made")
def test_a_caller_that_is_not_there(capsys: Capture, command: tuple[str, ...]) -> None:
    assert failed(capsys, "callers", *command) == (
        "dispatcher: there is no caller 'nobody': `dispatcher callers list` shows who is there\n"
    )


def test_a_key_is_made_and_revoked(capsys: Capture, shop: Any) -> None:
    key = done(capsys, "callers", "keys", "create", "shop", "--role", "operator")
    assert (key["role"], key["expiresAt"]) == ("operator", None)
    assert not is_revoked(key["apiKey"])
    answer = done(capsys, "callers", "keys", "revoke", "shop", key["id"])
    assert answer == {"id": key["id"], "revoked": True}
    assert is_revoked(key["apiKey"])
    assert not is_revoked(shop["apiKey"])
    assert said(capsys, "callers", "keys", "revoke", shop["id"], key["id"]).endswith(
        "is revoked.\n"
    )


def test_what_a_person_sees_of_a_key(capsys: Capture, shop: Any) -> None:
    text = said(capsys, "callers", "keys", "create", "shop", "--expires", "2126-01-31T09:30:00Z")
    assert re.search(r"^Key key_[0-9a-f]{32}, role caller, until 2126-01-31T09:30:00.000Z\n", text)
    (api_key,) = re.findall(r"API key  (dsp_\S{43})\n", text)
    assert not is_revoked(api_key)
    assert "2126-01-31" in said(capsys, "callers", "list")


@pytest.mark.parametrize("time", ["tomorrow", "2020-01-31T09:30:00Z"])
def test_a_time_that_can_not_be(capsys: Capture, shop: Any, time: str) -> None:
    assert "--expires" in failed(
        capsys, "callers", "keys", "create", "shop", "--expires", time, code=2
    )


def test_a_key_that_is_not_there(capsys: Capture, shop: Any) -> None:
    other = done(capsys, "callers", "create", "other")
    message = failed(capsys, "callers", "keys", "revoke", "other", shop["keyId"])
    assert message.startswith(f"dispatcher: other has no key {shop['keyId']!r}")
    assert not is_revoked(shop["apiKey"])
    assert not is_revoked(other["apiKey"])


# --- keys --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made")
def test_before_the_first_start_there_is_no_key(capsys: Capture) -> None:
    assert done(capsys, "keys", "list") == {"items": []}
    assert "There is none yet" in said(capsys, "keys", "list")


@pytest.mark.usefixtures("made")
def test_the_service_s_key_is_rotated(capsys: Capture) -> None:
    first = done(capsys, "keys", "rotate")
    assert first["others"] == []
    assert parse_public_key(first["key"]["whpk"]).thumbprint == first["key"]["kid"]
    assert first["key"]["signsUntil"] is None
    second = done(capsys, "keys", "rotate", "--overlap", "3600")
    (other,) = second["others"]
    assert other["kid"] == first["key"]["kid"]
    assert other["signsUntil"] is not None
    assert done(capsys, "keys", "list")["items"] == [second["key"], other]
    third = done(capsys, "keys", "rotate", "--overlap", "0")
    assert done(capsys, "keys", "list")["items"] == [third["key"]]


@pytest.mark.usefixtures("made")
def test_what_a_person_sees_of_keys(capsys: Capture) -> None:
    text = said(capsys, "keys", "rotate")
    (whpk,) = re.findall(r"whpk_\S{44}", text)
    assert "Besides" not in text
    text = said(capsys, "keys", "rotate")
    assert re.search(rf"Besides there are\n  {re.escape(whpk)}  made .*, signs until 20", text)
    assert len(said(capsys, "keys", "list").splitlines()) == 2


@pytest.mark.usefixtures("made")
def test_too_many_service_keys(capsys: Capture) -> None:
    for _ in range(5):
        done(capsys, "keys", "rotate")
    assert "overlap of 0" in failed(capsys, "keys", "rotate")
