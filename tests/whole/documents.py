"""Does what a page of the documentation says, command by command, and compares what it shows.

In a page, ```console blocks are run: a line that begins with `$ ` is a command, what follows is
what it prints. Other blocks are only read, unless a comment stands before them (readers of the
rendered page don't see it):

    <!-- file: NAME -->       the block is that file: made, or compared if it is there already
    <!-- keeps running -->    the console's command is not waited for, only for what it prints
    <!-- printed by: WORD --> the block is printed by the running command that has WORD in it

What differs from run to run is compared by its kind alone: ids, times, signatures, keys. `…` stands
for anything, and a member `"…"` of a JSON object for any other members. Ids and keys that a page
shows are replaced by the real ones in later commands. Ports are replaced by free ones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from scripts.outside.process import free_port

PORTS: Final = ("8080", "9000", "9001")
PATIENCE_SECONDS: Final = 15.0
ANYTHING: Final = "…"
ANY_NUMBER: Final = frozenset({"durationMs"})

_BLOCK: Final = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<kind>[a-z]*)\n(?P<text>.*?)\n```$",
    re.MULTILINE | re.DOTALL,
)
_KINDS: Final = (
    r"(?:job|evt|dlv|clr|key|req)_[0-9a-f]{32}",
    r"dsp_[A-Za-z0-9_-]{43}",
    r"whsec_[A-Za-z0-9+/]{43}=",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    r"v1,[A-Za-z0-9+/]{43}=",
    r"v1a,[A-Za-z0-9+/]{86}==",
    r"\b1[6-9]\d{8}\b",
    r"dispatcher/\d+\.\d+\.\d+",
)
_CHANGING: Final = re.compile("|".join(_KINDS))


class Block(Struct, frozen=True):
    """A fenced block; `line` is where it begins."""

    kind: str
    mark: str
    text: str
    line: int


class Differs(AssertionError):
    """What was printed is not what the page shows."""


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["kind"],
            found["mark"] or "",
            found["text"],
            text.count("\n", 0, found.start("kind")) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in text.split("\n"):
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif continued:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            found[-1][1].append(line)
            continue
        continued = line.endswith("\\")
    return [(command, "\n".join(printed)) for command, printed in found]


class Terminal:
    """Where the commands of one page run, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {shown: str(free_port()) for shown in PORTS}
        self._real: dict[str, str] = {}
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        kept = {n: v for n, v in os.environ.items() if not n.startswith("DISPATCHER_")}
        self._environment = kept | {
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            "DISPATCHER_PORT": self._ports["8080"],
            "DISPATCHER_URL": f"http://127.0.0.1:{self._ports['8080']}",
            "PYTHONUNBUFFERED": "1",
        }

    def stand_in(self, shown: str, real: str) -> None:
        """What a page shows is this in its commands."""
        self._real[shown] = real

    def close(self) -> None:
        """End what still runs."""
        for _, process, _ in self._running:
            process.terminate()
        for _, process, _ in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def do(self, block: Block) -> None:
        """What the block says; raises `Differs` if it does not hold."""
        name, _, value = block.mark.partition(": ")
        if name == "file":
            self._file(value, block.text)
        elif name == "printed by":
            self._printed_by(value, block.text)
        elif block.kind == "console":
            for command, printed in commands(block.text):
                if name == "keeps running":
                    self._keep_running(command, printed)
                else:
                    self._run(command, printed)

    def _file(self, name: str, text: str) -> None:
        file = self._folder / name
        if not file.exists():
            file.write_text(self._for_real(text) + "\n", encoding="utf-8")
        elif file.read_text(encoding="utf-8").strip() != text.strip():
            raise Differs(f"{name} is not as the page shows it")

    def _keep_running(self, command: str, printed: str) -> None:
        output = self._folder / f".output-{len(self._running)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {self._for_real(command)}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._running.append((command, process, output))
        self._compare_until(printed, lambda: self._read(output), process)

    def _printed_by(self, word: str, printed: str) -> None:
        for command, process, output in self._running:
            if word in command:
                self._compare_until(printed, lambda out=output: self._read(out), process)
                return
        raise Differs(f"nothing runs that has {word!r} in its command")

    def _run(self, command: str, printed: str) -> None:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = self._value(name, value)
            return

        def output() -> str:
            done = subprocess.run(
                ["bash", "-c", self._for_real(command)],
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            return self._as_shown(done.stdout)

        # What only reads may be asked again: a callback may still be on its way.
        if command.startswith("curl ") and " -d " not in command and " -X " not in command:
            self._compare_until(printed, output, None)
        else:
            self._compare(printed, output())

    def _read(self, file: Path) -> str:
        return self._as_shown(file.read_text(encoding="utf-8", errors="replace"))

    def _value(self, name: str, value: str) -> str:
        """What the shell makes of a value: it may be quoted, or what a command prints."""
        done = subprocess.run(
            ["bash", "-c", f'export {name}={self._for_real(value)}; printf %s "${name}"'],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def _for_real(self, command: str) -> str:
        known = self._real | self._ports
        if not known:
            return command
        # In one go: what was put in must not be taken for something shown.
        return re.sub("|".join(map(re.escape, known)), lambda found: known[found[0]], command)

    def _as_shown(self, text: str) -> str:
        ports = {f":{real}": f":{shown}" for shown, real in self._ports.items()}
        return re.sub("|".join(map(re.escape, ports)), lambda found: ports[found[0]], text)

    def _compare_until(self, printed: str, output: Any, process: Any) -> None:
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._compare(printed, output())
            except Differs:
                if time.monotonic() > ends or (process is not None and process.poll() is not None):
                    raise
                time.sleep(0.05)  # between looks: a file that others write gives no signal
            else:
                return

    def _compare(self, printed: str, output: str) -> None:
        found: dict[str, str] = {}
        if printed.lstrip().startswith(("{", "[")):
            try:
                actual = json.loads(output)
            except ValueError:
                raise Differs(f"no JSON was printed: {output!r}") from None
            _fit_json(json.loads(printed), actual, "", found)
        else:
            lines = output.split("\n")
            for shown in printed.split("\n"):
                while lines and not _fit_text(shown, lines[0], found):
                    lines.pop(0)
                if not lines:
                    raise Differs(f"{shown!r} was not printed, but this:\n{output}")
                lines.pop(0)
        self._real |= found


def _fit_text(shown: str, actual: str, found: dict[str, str]) -> bool:
    """Whether a text is as shown; what changes from run to run goes into `found`."""
    pattern, names, at = "", [], 0
    for each in _CHANGING.finditer(shown):
        pattern += _pattern(shown[at : each.start()]) + f"({_kind(each[0])})"
        names.append(each[0])
        at = each.end()
    match = re.fullmatch(pattern + _pattern(shown[at:]), actual)
    if match is None:
        return False
    found.update(zip(names, match.groups(), strict=True))
    return True


def _pattern(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.split(ANYTHING))


def _kind(text: str) -> str:
    kind = next(kind for kind in _KINDS if re.fullmatch(kind, text))
    # Of an id only what stands before the underscore is the same in each run.
    return kind if not kind.startswith("(?:job") else text.partition("_")[0] + "_[0-9a-f]{32}"


def _fit_json(shown: Any, actual: Any, at: str, found: dict[str, str]) -> None:
    if isinstance(shown, dict) and isinstance(actual, dict):
        named = set(shown) - {ANYTHING}
        if missing := named - set(actual):
            raise Differs(f"{at} has no {missing}: {actual}")
        if ANYTHING not in shown and (more := set(actual) - named):
            raise Differs(f"{at} has {more} too")
        for name in named:
            if name not in ANY_NUMBER:
                _fit_json(shown[name], actual[name], f"{at}/{name}", found)
    elif isinstance(shown, list) and isinstance(actual, list):
        if len(shown) != len(actual):
            raise Differs(f"{at} has {len(actual)} items, not {len(shown)}")
        for n, (one, other) in enumerate(zip(shown, actual, strict=True)):
            _fit_json(one, other, f"{at}/{n}", found)
    elif isinstance(shown, str) and isinstance(actual, str):
        if not _fit_text(shown, actual, found):
            raise Differs(f"{at} is {actual!r}, not {shown!r}")
    elif shown != actual or type(shown) is not type(actual):
        raise Differs(f"{at} is {actual!r}, not {shown!r}")
