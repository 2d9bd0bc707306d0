"""Receives callbacks with Flask: `python receiver.py`."""

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from standardwebhooks import Webhook, WebhookVerificationError

URL = os.environ["CALLBACK_URL"]  # as it stands in your submissions
CALLER = os.environ["CALLER_ID"]  # clr_…, the caller that you submit as
PORT = int(os.environ.get("PORT", "9000"))
log = logging.getLogger("receiver")
webhook = Webhook(os.environ["CALLBACK_SECRET"])  # whsec_…

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


def verified(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """The event, if it was signed with our secret, for this caller and this URL."""
    try:
        event = webhook.verify(body, dict(headers))
    except (WebhookVerificationError, ValueError):  # ValueError: headers or body are garbage
        return None
    mine = (event["callerId"], event["callbackUrl"]) == (CALLER, URL)
    return event if mine else None


app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 4 * 2**20


@app.post("/callbacks")
def receive() -> Response:
    # The bytes as they came, not request.json: that would have to be written again, and differ.
    event = verified(request.headers, request.get_data())
    if event is None:
        return Response(status=401)
    keep(event)  # if this fails the answer is a 500, and it comes again
    return Response(status=204)


if __name__ == "__main__":
    threading.Thread(target=work_off, daemon=True).start()
    app.run(host="127.0.0.1", port=PORT)  # in production a WSGI server, of one process
