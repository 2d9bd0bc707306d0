"""Receives callbacks without a shared secret, by the service's public keys (v1a).

`python receiver.py`
"""

import asyncio
import json
import logging
import math
import os
import sqlite3
import threading
import time
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SERVICE = os.environ["SERVICE_URL"]  # where the dispatcher is
URL = os.environ["CALLBACK_URL"]  # as it stands in your submissions
CALLER = os.environ["CALLER_ID"]  # clr_…, the caller that you submit as
PORT = int(os.environ.get("PORT", "9000"))
log = logging.getLogger("receiver")
TOLERANCE_SECONDS = 300

# --- What differs from a receiver that has a secret

KEYS_SECONDS = 300  # as the Cache-Control of the key set says
keys: list[Ed25519PublicKey] = []
keys_read_at = -math.inf


async def read_keys() -> None:
    """Read the service's public keys, if those we have are older than they may be."""
    global keys, keys_read_at  # noqa: PLW0603  # one small program
    if time.monotonic() - keys_read_at < KEYS_SECONDS:
        return
    timeout = ClientTimeout(total=5)
    async with (
        ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(f"{SERVICE}/.well-known/jwks.json") as answer,
    ):
        found = await answer.json(content_type=None)
    encoded = [key["x"] for key in found["keys"] if key["crv"] == "Ed25519"]
    keys = [Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(x + "=")) for x in encoded]
    keys_read_at = time.monotonic()


def verified(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """The event, if the service signed it, for this caller and this URL."""
    try:
        id_, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
            return None
        content = f"{id_}.{timestamp}.".encode() + body
        signatures = headers["webhook-signature"].split(" ")
        given = [b64decode(each[4:]) for each in signatures if each.startswith("v1a,")]
        event = json.loads(body) if any(signed(content, each) for each in given) else {}
    except (KeyError, ValueError, OverflowError):  # a header is missing, or something is garbage
        return None
    # The service signs for all its callers with one key: without this, any of them could have it
    # post here.
    mine = (event.get("callerId"), event.get("callbackUrl")) == (CALLER, URL)
    return event if mine else None


def signed(content: bytes, signature: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return True
    return False


async def receive(request: web.Request) -> web.Response:
    body = await request.read()
    try:
        await read_keys()
    except (ClientError, TimeoutError):
        return web.Response(status=503, headers={"Retry-After": "60"})
    event = verified(request.headers, body)
    if event is None:
        return web.Response(status=401)
    await asyncio.to_thread(keep, event)
    return web.Response(status=204)


# --- The rest is the same

# The inbox: in real life a table of the database that your work writes to.
inbox = sqlite3.connect("inbox.db", isolation_level=None, check_same_thread=False)
inbox.execute("CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, event TEXT, done INT)")
arrived = threading.Event()


def keep(event: dict[str, Any]) -> None:
    """Safe on disk when it returns; an id that is there already changes nothing."""
    row = (event["id"], json.dumps(event))
    inbox.execute("INSERT INTO inbox VALUES (?, ?, 0) ON CONFLICT DO NOTHING", row)
    arrived.set()


def work_off() -> None:
    """What is kept and not done, one after another; what fails is tried again a second later."""
    while True:
        rows = inbox.execute("SELECT id, event FROM inbox WHERE NOT done ORDER BY rowid").fetchall()
        for id_, event in rows:
            try:
                work(json.loads(event))
            except Exception:
                log.exception("%s is not done", id_)
            else:  # only now: in the transaction of your work, if the inbox is in its database
                inbox.execute("UPDATE inbox SET done = 1 WHERE id = ?", (id_,))
        arrived.wait(timeout=1)
        arrived.clear()


def work(event: dict[str, Any]) -> None:
    """Yours. It may take long. A crash before "done" repeats it, so let it bear that."""
    job = event["data"]
    line = {"id": event["id"], "order": job["correlationId"], "status": job["status"]}
    with Path("orders.jsonl").open("a") as orders:
        orders.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    threading.Thread(target=work_off, daemon=True).start()
    app = web.Application(client_max_size=4 * 2**20)
    app.router.add_post("/callbacks", receive)
    web.run_app(app, host="127.0.0.1", port=PORT)
