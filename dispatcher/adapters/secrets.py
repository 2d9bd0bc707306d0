"""Secrets: sealed at rest, and where the key that seals them comes from.

Sealing is XAES-256-GCM (C2SP, "The XAES-256-GCM extended-nonce AEAD"): AES-256-GCM under a key
that is derived from the first half of a random nonce of 24 bytes. Plain AES-GCM with random nonces
must stop after 2^32 messages a key (NIST SP 800-38D, 8.3); callbacks with headers of their own,
one a job, get there in weeks.
"""

from __future__ import annotations

import binascii
import hashlib
import logging
import os
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from dispatcher.core.errors import SecretsUnreadable
from dispatcher.ports.system import Random
from dispatcher.ports.vault import Vault

KEY_PREFIX: Final = "dsk_"
KEY_BYTES: Final = 32

_FORMAT: Final = b"\x01"
_NONCE_BYTES: Final = 24
_HALF: Final = 12
_TAG_BYTES: Final = 16
_log = logging.getLogger("dispatcher.secrets")


# --- Sealing -----------------------------------------------------------------------------------


class AesVault:
    """Seals with one key of 32 bytes; what is sealed begins with a byte that names the format."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SecretsUnreadable(f"the key that encrypts secrets must have {KEY_BYTES} bytes")
        self._aes = algorithms.AES256(key)
        self._mask = _double(self._encrypt(bytes(16)))
        self._siv = AESSIV(hashlib.blake2b(key=key, person=b"dispatcher mask").digest())

    def __repr__(self) -> str:
        return "AesVault(***)"

    def seal(self, plain: bytes, owner: str) -> bytes:
        """Encrypt: the format's byte, the nonce, the ciphertext with its tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._seal_with(nonce, plain, _bound_to(owner))

    def open(self, sealed: bytes, owner: str) -> bytes:
        """Decrypt; raises `SecretsUnreadable` if the key, the owner or a single bit is another."""
        if sealed[:1] != _FORMAT or len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES:
            raise SecretsUnreadable("a sealed secret has a form that this version does not know")
        nonce = sealed[1 : 1 + _NONCE_BYTES]
        try:
            return self._derived(nonce).decrypt(
                nonce[_HALF:], sealed[1 + _NONCE_BYTES :], _bound_to(owner)
            )
        except InvalidTag:
            raise SecretsUnreadable(
                "a secret was sealed with another key, for another owner, or was changed: give "
                "the service the key that it had when the secret was made"
            ) from None

    def mask(self, plain: bytes, owner: str) -> bytes:
        """Encrypt deterministically: AES-SIV (RFC 5297), under a key derived from the vault's."""
        return self._siv.encrypt(plain, [_bound_to(owner)])

    def unmask(self, masked: bytes, owner: str) -> bytes | None:
        """What was masked; None if it was not, or with another key or for another owner."""
        try:
            return self._siv.decrypt(masked, [_bound_to(owner)])
        except (InvalidTag, ValueError):
            return None

    def _seal_with(self, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        return self._derived(nonce).encrypt(nonce[_HALF:], plain, bound)

    def _derived(self, nonce: bytes) -> AESGCM:
        """The key of this nonce: two blocks of CMAC in counter mode (NIST SP 800-108r1, 4.1)."""
        half = nonce[:_HALF]
        blocks = _xor(b"\x00\x01X\x00" + half, self._mask) + _xor(
            b"\x00\x02X\x00" + half, self._mask
        )
        return AESGCM(self._encrypt(blocks))

    def _encrypt(self, blocks: bytes) -> bytes:
        return Cipher(self._aes, modes.ECB()).encryptor().update(blocks)  # noqa: S305  # single blocks, as CMAC has them


def _bound_to(owner: str) -> bytes:
    return _FORMAT + owner.encode()


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(16)


def _double(block: bytes) -> bytes:
    """CMAC's subkey K1 (NIST SP 800-38B, 6.1)."""
    number = int.from_bytes(block) << 1
    if number >> 128:
        number = (number & ((1 << 128) - 1)) ^ 0x87
    return number.to_bytes(16)


# --- The key -----------------------------------------------------------------------------------


def new_key(random: Random) -> str:
    """A new key that encrypts secrets, as text: `dsk_` and 32 bytes in base64url."""
    return KEY_PREFIX + _text(random.token(KEY_BYTES))


def parse_key(text: str, source: str) -> bytes:
    """The key of `text`.

    Raises:
        SecretsUnreadable: it is none; the message names `source` and never shows the text.
    """
    encoded = text.strip().removeprefix(KEY_PREFIX)
    try:
        key = urlsafe_b64decode(encoded + "=")
    except (binascii.Error, ValueError):
        key = b""
    if not text.strip().startswith(KEY_PREFIX) or len(key) != KEY_BYTES or _text(key) != encoded:
        raise SecretsUnreadable(
            f"{source} holds no key: it must be {KEY_PREFIX} and then 32 bytes in base64url "
            "(43 characters); if it was cut or changed, restore it from where it was kept"
        )
    return key


def given_key(text: str) -> bytes:
    """The key of the setting `secret_key`; raises `SecretsUnreadable` if it is none."""
    return parse_key(text, "the setting secret_key (DISPATCHER_SECRET_KEY)")


def key_file(database: Path) -> Path:
    """Where the key of a SQLite file lies: beside it, so that one volume carries both."""
    return database.with_name(database.name + ".key")


def read_key(path: Path, *, only_look: bool = False) -> bytes | None:
    """The key in a file, None if there is no such file.

    Others than the owner must not read it. Copies and volumes often lose the mode, so it is set
    to 600 again where this process may, and a warning tells; else the file is refused. With
    `only_look` the mode stays as it is.

    Raises:
        SecretsUnreadable: the file can't be read, is open to others, or holds no key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077 and not only_look:
                os.fchmod(file.fileno(), 0o600)
                _log.warning(
                    "%s could be read by others (mode %o): its mode is 600 now", path, mode
                )
            text = file.read(1024)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise SecretsUnreadable(
            f"the key file {path} must belong to the user of this process, with mode 600: "
            f"chown and chmod it ({error.strerror})"
        ) from None
    except OSError as error:
        raise SecretsUnreadable(f"the key file {path} can't be read: {error.strerror}") from None
    return parse_key(text.decode("ascii", "replace"), f"the key file {path}")


def make_key(path: Path, random: Random) -> bytes:
    """Make the key file, or read the one that another process made in the same moment.

    The file appears whole or not at all: it is written under another name and linked.

    Raises:
        SecretsUnreadable: it can't be written.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.{random.token(4).hex()}")
    text = new_key(random)
    try:
        try:
            _write_new(new, text)
            os.link(new, path)
        finally:
            new.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise SecretsUnreadable(
            f"the key file {path} can't be made: {error.strerror}; make its folder writable, or "
            "set DISPATCHER_SECRET_KEY"
        ) from None
    key = read_key(path)
    if key is None:
        raise SecretsUnreadable(
            f"the key file {path} was taken away while it was made: start again"
        )
    return key


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- The proof that it is the right one --------------------------------------------------------


class KeyProof(Protocol):
    """Of the store, what keeps the proof of the key."""

    async def key_check(self, token: bytes | None) -> bytes | None:
        """The stored proof; with `token` it is stored if there was none."""
        ...


_PROOF: Final = b"the key that seals this database's secrets"
_PROOF_OWNER: Final = "key-check"


async def open_vault(
    store: KeyProof,
    *,
    secret_key: str | None,
    database: Path | str,
    random: Random,
    only_look: bool = False,
) -> Vault:
    """The vault of a database, with the key proven to be its own.

    `database` is the file beside which the key file lies, or how a database that is no file is
    shown; that has no key file. `secret_key` wins over it. On a database without a proof (its first
    start) the key file is made if need be, and the proof is stored. `only_look`: of one that has a
    proof nothing is changed, the mode of its key file neither.

    Raises:
        SecretsUnreadable: the key is missing, malformed, or not the one of this database.
        StoreError: the store can't be used.
    """
    proof = await store.key_check(None)
    source = None if isinstance(database, str) else key_file(database)
    if secret_key is not None:
        key: bytes | None = given_key(secret_key)
    elif source is None:
        raise SecretsUnreadable(f"{database} needs DISPATCHER_SECRET_KEY: there is no key file")
    else:
        key = read_key(source, only_look=only_look)
        if key is None and proof is None:
            key = make_key(source, random)
    if key is None:
        raise SecretsUnreadable(
            f"the key file {source} is missing, and {database} holds secrets sealed with it: put "
            "it back from where the database was copied, or set DISPATCHER_SECRET_KEY"
        )
    vault = AesVault(key)
    if proof is None:
        proof = await store.key_check(vault.seal(_PROOF, _PROOF_OWNER))
    try:
        proven = proof is not None and vault.open(proof, _PROOF_OWNER) == _PROOF
    except SecretsUnreadable:
        proven = False
    if not proven:
        given = "DISPATCHER_SECRET_KEY" if secret_key is not None else str(source)
        raise SecretsUnreadable(
            f"{given} is not the key that the secrets in {database} were sealed with: give the "
            "service the one that it had before"
        )
    return vault


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
