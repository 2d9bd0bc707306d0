"""`dispatcher check`: a doctor for an installation."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dispatcher.cli.examine import examine
from dispatcher.cli.findings import Finding, Level
from dispatcher.cli.options import print_json, with_json, with_store


@click.command("check")
@with_store
@with_json
@click.pass_context
def check_command(
    ctx: click.Context, /, config: Path | None, store: str | None, as_json: bool
) -> None:
    """Find what is wrong with an installation, and say what to do.

    Settings, files, disk, database and key are looked at, beside a running service too; nothing is
    made or migrated. The exit code is 1 if something fails.
    """
    findings = []
    for finding in examine(os.environ, {"store": store}, config):
        findings.append(finding)
        if not as_json:
            print(_line(finding), flush=True)
    failed = any(finding.level is Level.FAIL for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": findings})
    ctx.exit(1 if failed else 0)


def _line(finding: Finding) -> str:
    line = f"{finding.level:4}  {finding.check:10}  {finding.detail}"
    return line if finding.advice is None else f"{line}\n{'':18}→ {finding.advice}"
