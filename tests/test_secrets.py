from __future__ import annotations

import logging
import stat
import threading
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.secrets import (
    AesVault,
    key_file,
    make_key,
    new_key,
    open_vault,
    parse_key,
    read_key,
)
from dispatcher.adapters.system import SystemRandom
from dispatcher.core.errors import SecretsUnreadable

KEY = bytes(range(32))
TEXT = "dsk_" + urlsafe_b64encode(KEY).rstrip(b"=").decode()
OTHER = "dsk_" + urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
RANDOM = SystemRandom()


# --- Sealing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_byte", "bound", "expected"),
    [
        (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (3, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_known_answers_of_xaes_256_gcm(key_byte: int, bound: bytes, expected: str) -> None:
    # C2SP, "The XAES-256-GCM extended-nonce AEAD", test vectors: one for each most significant bit
    # of the block that CMAC's subkey is made of.
    vault = AesVault(bytes([key_byte]) * 32)
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert vault._seal_with(nonce, b"XAES-256-GCM", bound).hex() == expected


@given(st.binary(max_size=200), st.text(max_size=50))
def test_what_was_sealed_opens_for_its_owner(plain: bytes, owner: str) -> None:
    vault = AesVault(KEY)
    sealed = vault.seal(plain, owner)
    assert vault.open(sealed, owner) == plain
    assert sealed != vault.seal(plain, owner)
    with pytest.raises(SecretsUnreadable):
        vault.open(sealed, owner + "x")
    with pytest.raises(SecretsUnreadable):
        AesVault(bytes(32)).open(sealed, owner)


@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    vault = AesVault(KEY)
    sealed = bytearray(vault.seal(b"secret", "clr_1"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecretsUnreadable):
        vault.open(bytes(sealed), "clr_1")


@given(st.binary(max_size=60))
def test_what_was_never_sealed_is_refused(garbage: bytes) -> None:
    with pytest.raises(SecretsUnreadable):
        AesVault(KEY).open(garbage, "clr_1")
    with pytest.raises(SecretsUnreadable):
        AesVault(KEY).open(b"\x01" + garbage, "clr_1")


@given(st.binary(max_size=60), st.text(max_size=50))
def test_what_was_masked_is_always_the_same_and_its_owners_alone(plain: bytes, owner: str) -> None:
    vault = AesVault(KEY)
    masked = vault.mask(plain, owner)
    assert masked == AesVault(KEY).mask(plain, owner)
    assert vault.unmask(masked, owner) == plain
    assert vault.unmask(masked, owner + "x") is None
    assert AesVault(bytes(32)).unmask(masked, owner) is None
    assert vault.unmask(bytes([masked[0] ^ 1]) + masked[1:], owner) is None
    assert vault.mask(plain + b"x", owner)[: len(masked)] != masked


@given(st.binary(max_size=60))
def test_what_was_never_masked_is_none(garbage: bytes) -> None:
    assert AesVault(KEY).unmask(garbage, "clr_1") is None


def test_a_vault_does_not_show_its_key() -> None:
    assert repr(AesVault(KEY)) == "AesVault(***)"


# --- The key -----------------------------------------------------------------------------------


def test_a_key_as_text() -> None:
    assert parse_key(TEXT, "x") == KEY
    assert parse_key(f" {TEXT}\n", "x") == KEY
    made = new_key(RANDOM)
    assert made.startswith("dsk_")
    assert len(parse_key(made, "x")) == 32
    assert made != new_key(RANDOM)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dsk_",
        TEXT[:-1],
        TEXT + "A",
        TEXT + "=",
        TEXT.removeprefix("dsk_"),
        "whsec_" + TEXT,
        "dsk_" + "+" * 43,
        "dsk_" + "\u00e9" * 43,
        "dsk_" + "*" * 43,
        TEXT[:-1] + "9",  # the same bytes in a second spelling
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SecretsUnreadable, match="the setting holds no key") as caught:
        parse_key(text, "the setting")
    assert len(text) < 5 or text not in str(caught.value)


def test_the_key_file_lies_beside_the_database() -> None:
    assert key_file(Path("/data/jobs.db")) == Path("/data/jobs.db.key")


def test_a_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db.key"
    assert read_key(path) is None
    key = make_key(path, RANDOM)
    assert read_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["a.db.key"]


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.db.key"
    key = make_key(path, RANDOM)
    assert make_key(path, RANDOM) == key


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "a.db.key"
    ready = threading.Barrier(8)
    found: list[bytes] = []

    def start() -> None:
        ready.wait()
        found.append(make_key(path, RANDOM))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_file_that_others_could_read_is_closed_to_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db.key"
    path.write_text(TEXT)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING, "dispatcher.secrets"):
        assert read_key(path) == KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "could be read by others (mode 644)" in caplog.text
    assert TEXT not in caplog.text


def test_a_key_file_with_something_else_in_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db.key"
    path.write_bytes(b"\xff\x00 no key")
    path.chmod(0o600)
    with pytest.raises(SecretsUnreadable, match=r"the key file .*a\.db\.key holds no key"):
        read_key(path)


def test_a_folder_in_the_place_of_the_key_file(tmp_path: Path) -> None:
    with pytest.raises(SecretsUnreadable, match="can't be read: Is a directory"):
        read_key(tmp_path)


def test_a_key_file_that_can_not_be_made_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SecretsUnreadable, match="make its folder writable, or set DISPATCHER_"):
        make_key(tmp_path / "gone" / "a.db.key", RANDOM)


# --- The proof ---------------------------------------------------------------------------------


class Kept:
    """The one row of a store that the proof needs; the store's own suite tries the real one."""

    def __init__(self) -> None:
        self.token: bytes | None = None

    async def key_check(self, token: bytes | None) -> bytes | None:
        if self.token is None:
            self.token = token
        return self.token


async def test_a_first_start_makes_the_key_and_its_proof(tmp_path: Path) -> None:
    kept, database = Kept(), tmp_path / "a.db"
    vault = await open_vault(kept, secret_key=None, database=database, random=RANDOM)
    sealed = vault.seal(b"secret", "clr_1")
    assert kept.token is not None
    again = await open_vault(kept, secret_key=None, database=database, random=RANDOM)
    assert again.open(sealed, "clr_1") == b"secret"


async def test_a_given_key_wins_over_the_file(tmp_path: Path) -> None:
    kept, database = Kept(), tmp_path / "a.db"
    vault = await open_vault(kept, secret_key=TEXT, database=database, random=RANDOM)
    assert AesVault(KEY).open(vault.seal(b"x", "o"), "o") == b"x"
    assert not key_file(database).exists()


async def test_another_key_is_told_at_the_start(tmp_path: Path) -> None:
    kept, database = Kept(), tmp_path / "a.db"
    await open_vault(kept, secret_key=TEXT, database=database, random=RANDOM)
    with pytest.raises(SecretsUnreadable, match=r"DISPATCHER_SECRET_KEY is not the key") as caught:
        await open_vault(kept, secret_key=OTHER, database=database, random=RANDOM)
    assert OTHER not in str(caught.value)


async def test_a_lost_key_file_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    kept, database = Kept(), tmp_path / "a.db"
    await open_vault(kept, secret_key=None, database=database, random=RANDOM)
    key_file(database).unlink()
    with pytest.raises(SecretsUnreadable, match=r"a\.db\.key is missing.*put it back"):
        await open_vault(kept, secret_key=None, database=database, random=RANDOM)
    assert not key_file(database).exists()


async def test_a_key_file_of_another_database_is_told(tmp_path: Path) -> None:
    kept, database = Kept(), tmp_path / "a.db"
    await open_vault(kept, secret_key=None, database=database, random=RANDOM)
    key_file(database).write_text(OTHER)
    with pytest.raises(SecretsUnreadable, match=r"a\.db\.key is not the key"):
        await open_vault(kept, secret_key=None, database=database, random=RANDOM)
