"""README and tutorial are done as they are written, and what they show is what comes."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import click
import pytest

from dispatcher.cli.main import group
from tests.store.postgres_server import empty_database
from tests.whole.documents import Block, Differs, Terminal, blocks, commands

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "docs/tutorial/first-callback.md",
    "docs/howto/call-from-python.md",
    "docs/howto/receive-callbacks.md",
    "docs/howto/hear-of-a-job.md",
    "docs/howto/operate.md",
    "docs/howto/make-an-endpoint-asynchronous.md",
    "docs/howto/runbook.md",
    "docs/reference/handlers.md",
)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages call the API with curl")
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_is_so(page: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    found = blocks(ROOT / page)
    assert any(block.kind == "console" for block in found)
    terminal = Terminal(tmp_path)
    try:
        for block in found:
            try:
                terminal.do(block)
            except Differs as differs:
                pytest.fail(f"{page}, line {block.line}: {differs}")
    finally:
        terminal.close()


async def test_what_the_page_of_moving_says_is_so(tmp_path: Path) -> None:
    """Its database is one of the tests' server, and the file is there before."""
    terminal = Terminal(tmp_path)
    async with empty_database() as url:
        terminal.stand_in("postgresql://dispatcher@db.example/dispatcher", url)
        try:
            terminal.do(console("$ dispatcher callers create shop"))
            for block in blocks(ROOT / "docs/howto/move-to-postgresql.md"):
                try:
                    await asyncio.to_thread(terminal.do, block)
                except Differs as differs:
                    pytest.fail(f"line {block.line}: {differs}")
        finally:
            terminal.close()


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in links(page.read_text(encoding="utf-8")):
            if "://" in link:
                continue
            target, _, anchor = link.partition("#")
            found = page.parent / target if target else page
            assert found.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(found), f"{page.name} links to {link}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    prose = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def links(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("](")[1:]]


# --- The reader of pages itself ----------------------------------------------------------------


def console(text: str, mark: str = "") -> Block:
    return Block("console", mark, text, 1)


def test_commands_are_told_from_what_they_print() -> None:
    text = "$ one \\\n  more\nprinted\nagain\n$ two"
    assert commands(text) == [("one \\\n  more", "printed\nagain"), ("two", "")]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ('{"id":"job_' + "0" * 32 + '","…":"…"}', '{"id":"job_' + "a" * 32 + '","more":1}'),
        ('{"at":"2026-01-31T09:30:00.123Z"}', '{"at":"2027-12-01T00:00:00.000Z"}'),
        ('{"durationMs":1}', '{"durationMs":20}'),
        ("a … z", "a b c z"),
        ("second", "first\nsecond\nthird"),
    ],
)
def test_what_changes_from_run_to_run_is_let_through(
    shown: str, printed: str, tmp_path: Path
) -> None:
    (tmp_path / "printed").write_text(printed)
    Terminal(tmp_path).do(console(f"$ cat printed\n{shown}"))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ('{"id":"job_' + "0" * 32 + '"}', '{"id":"evt_' + "a" * 32 + '"}'),
        ('{"a":1}', '{"a":1,"b":2}'),
        ('{"a":1,"…":"…"}', '{"b":2}'),
        ('{"a":1}', '{"a":true}'),
        ("[1]", "[1,2]"),
        ("a … z", "a b c"),
        ("second\nfirst", "first\nsecond"),
        ("one", ""),
    ],
)
def test_what_differs_is_found(shown: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "printed").write_text(printed)
    with pytest.raises(Differs):
        Terminal(tmp_path).do(console(f"$ cat printed\n{shown}"))


def test_an_id_that_was_shown_is_the_real_one_in_later_commands(tmp_path: Path) -> None:
    shown, real = "job_" + "0" * 32, "job_" + "b" * 32
    terminal = Terminal(tmp_path)
    terminal.do(console(f"$ echo {real[:20]}{real[20:]}\n{shown}\n$ echo {shown} > file"))
    assert (tmp_path / "file").read_text().strip() == real


# --- The page of the command line --------------------------------------------------------------


def flags_that_exist() -> set[str]:
    """Every long flag of every command, as the program itself has them."""
    found: set[str] = set()
    waiting: list[click.Command] = [group]
    while waiting:
        command = waiting.pop()
        for parameter in command.params:
            found |= {flag for flag in parameter.opts if flag.startswith("--")}
        if isinstance(command, click.Group):
            context = click.Context(command)
            named = [command.get_command(context, name) for name in command.list_commands(context)]
            waiting += [each for each in named if each is not None]
    return found


def test_the_page_of_the_command_line_has_every_flag_and_no_other() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--[a-z][a-z-]+", text)) - {"--help"} == flags_that_exist()
