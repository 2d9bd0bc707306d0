"""Sizes and exemptions: a file has at most 400 lines, a function at most 60, an exemption a reason.

A file that wants to be longer is two ideas; a function fits on a screen. Prints what is wrong and
ends with 1 if anything is.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
ROOT = Path(__file__).resolve().parent.parent

# Linters are silenced for named codes, with the reason as a second comment in the same line.
EXEMPTION = re.compile(r"#\s*(noqa|type:\s*ignore|ruff:|mypy:|pyright:)", re.IGNORECASE)
EXPLAINED = re.compile(
    r"#\s*(noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z, -]+\])(\s+#\s*\S.*)",
)


def python_files() -> list[Path]:
    """What git tracks or would track; without git, what lies in the project's folders."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [
            path
            for folder in ("dispatcher", "tests", "scripts", "examples")
            for path in (ROOT / folder).rglob("*")
        ]
    return sorted({path for path in paths if path.is_file() and is_python(path)})


def is_python(path: Path) -> bool:
    if path.suffix == ".py":
        return True
    if path.suffix:
        return False
    with path.open("rb") as file:
        return re.match(rb"#!.*\bpython", file.readline(200)) is not None


def faults(path: Path) -> Iterator[str]:
    name = path.relative_to(ROOT)
    text = path.read_text("utf-8")
    if (lines := text.count("\n")) > FILE_LINES:
        yield f"{name}: {lines} lines, {FILE_LINES} at most"
    for node in ast.walk(ast.parse(text, filename=str(name))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name}: {length} lines, {FUNCTION_LINES} at most"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or not EXEMPTION.search(token.string):
            continue
        if not EXPLAINED.search(token.string):
            yield f"{name}:{token.start[0]}: an exemption names its code, then # and why"


def main() -> int:
    found = [fault for path in python_files() for fault in faults(path)]
    print("\n".join(found) if found else "sizes and exemptions are as agreed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
