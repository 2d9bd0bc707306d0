"""Tries every call of a real service with what its own description allows, and what it does not.

Schemathesis makes the requests from `/openapi.json`, with all its checks on: no 5xx, no status and
no header that is not described, no answer that does not fit its schema, nothing accepted that does
not fit, nothing refused that does. In `--dev`, and with the key of each role.

Nothing can leave this machine: all of it runs in a network of its own that has loopback alone.
Where that is not possible no callback URL is submitted at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scripts.outside.alone import ROOT, is_ours, wrapped
from scripts.outside.api import Api
from scripts.outside.process import TRIAL_STORE, Service, free_port

CONFIG = Path(__file__).with_name("fuzz.toml")
ALONE = "FUZZ_ALONE"
APP = str(Path(__file__).with_name("fuzz_app.py"))
DEV = "dev"
ROLES = (DEV, "operator", "caller", "worker")
REMOTE = "audio.transcribe"
SETTINGS = f"""\
[types."{REMOTE}"]
runner = "remote"
"""
TO_LEASE = 200
ACCEPTED = 202


class Escaped(Exception):
    """A URL was accepted that leads out of this machine: the fuzzer itself is broken."""


async def fuzz(folder: Path, role: str, examples: int, arguments: list[str]) -> int:
    """One service, tried in a role; the exit status of schemathesis (0: nothing was found)."""
    dev = role == DEV
    receiver = f"http://127.0.0.1:{free_port()}/"  # nobody listens: each attempt fails at once
    service = Service(folder, app=APP, dev=dev, allow=[] if dev else [receiver.rstrip("/")])
    (folder / "dispatcher.toml").write_text(SETTINGS)
    key = None if dev else (await service.create_caller("fuzz", role)).api_key
    watch = None if dev else (await service.create_caller("watch", "operator")).api_key
    try:
        await service.start()
        await give_work(service.url, watch)
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            *("--config-file", str(CONFIG)),
            *("run", f"{service.url}/openapi.json"),
            *("--max-examples", str(examples)),
            *arguments,
        ]
        if key is not None:
            command += ["--header", f"Authorization: Bearer {key}"]
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=ROOT,
            env={**os.environ, "FUZZ_RECEIVER": receiver, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        types = await submitted(service.url, watch)
        print(f"{role} submitted: {json.dumps(types)}")
        if await service.stop() != 0:
            print(f"the service did not stop well:\n{service.log}")
            return 1
        if done.returncode != 0:  # what an answer of 5xx leaves out
            print(f"the service said:\n{service.log}")
        return done.returncode
    finally:
        service.end()


async def give_work(url: str, key: str | None) -> None:
    """Submit jobs that workers can lease."""
    async with Api(url, key) as api:
        for number in range(TO_LEASE):
            taken = await api.submit({"type": REMOTE, "input": number})
            if taken.status != ACCEPTED:
                raise AssertionError(f"POST /v1/jobs answered {taken.status}: {taken.json}")


async def submitted(url: str, key: str | None) -> dict[str, int]:
    """How many jobs of each type were taken; raises `Escaped` if one calls back elsewhere."""
    types: Counter[str] = Counter()
    async with Api(url, key) as api:
        async for job in api.jobs():
            types[job["type"]] += 1
            if not is_ours(job["callbackUrl"] or ""):
                raise Escaped(f"{job['id']} calls back to {job['callbackUrl']}")
        for each in (await api.call("GET", "/v1/endpoints?limit=100")).json["items"]:
            if not is_ours(each["url"]):
                raise Escaped(f"{each['id']} calls back to {each['url']}")
    return dict(sorted(types.items()))


async def in_each(roles: Sequence[str], examples: int, arguments: list[str]) -> int:
    """One after another; 0 if nothing was found."""
    found = 0
    for role in roles:
        with tempfile.TemporaryDirectory() as folder:
            found |= await fuzz(Path(folder), role, examples, arguments)
    return found


def main() -> None:
    """`scripts/fuzz`."""
    parser = argparse.ArgumentParser(description=__doc__, prog="scripts/fuzz")
    parser.add_argument("--examples", type=int, default=100, help="requests a call and phase")
    parser.add_argument("--role", choices=ROLES, help="in which alone; without it in each")
    parser.add_argument(
        "--store",
        help="the URL of a PostgreSQL whose database is empty, by a Unix socket: no other reaches"
        " into a network of our own. For one role; without it, a file of SQLite for each",
    )
    parser.add_argument("--seed", type=int, help="other requests; without it the same each time")
    parser.add_argument("--phases", help="of schemathesis; without it all: coverage takes longest")
    parser.add_argument("more", nargs="*", help="for schemathesis, after --")
    asked = parser.parse_args()
    roles = ROLES if asked.role is None else (asked.role,)
    if asked.store is not None:
        if asked.role is None:
            parser.error("--store needs --role: each wants an empty database of its own")
        os.environ[TRIAL_STORE] = asked.store
    if ALONE not in os.environ:
        command = wrapped([sys.executable, "-m", "scripts.outside.fuzz", *sys.argv[1:]])
        if command is None:
            print("No network of our own can be made: callback URLs are left out.", file=sys.stderr)
        os.environ[ALONE] = "0" if command is None else "1"
        if command is not None:
            os.chdir(ROOT)
            os.execv(command[0], command)  # noqa: S606  # this very program, once more
    chosen = ["--generation-deterministic"] if asked.seed is None else ["--seed", str(asked.seed)]
    if asked.phases is not None:
        chosen += ["--phases", asked.phases]
    sys.exit(asyncio.run(in_each(roles, asked.examples, [*chosen, *asked.more])))


if __name__ == "__main__":
    main()
