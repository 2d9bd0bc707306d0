"""The command line. Commands are imported when they are used, so that `--help` is at once there."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import click

from dispatcher.core.errors import DispatcherError, SettingsError

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("dispatcher.cli.serve:serve_command", "Run the service."),
    "listen": ("dispatcher.cli.listen:listen_command", "Receive, verify and show callbacks."),
    "submit": ("dispatcher.cli.submit:submit_command", "Submit a job."),
    "jobs": ("dispatcher.cli.jobs:jobs_group", "List, show, cancel, replay and delete jobs."),
    "deliveries": (
        "dispatcher.cli.deliveries:deliveries_group",
        "List and show callbacks, send them again, or stop them.",
    ),
    "queues": ("dispatcher.cli.queues:queues_command", "List the queues, and what they hold."),
    "pause": ("dispatcher.cli.queues:pause_command", "Begin no more jobs of a queue, or of all."),
    "resume": ("dispatcher.cli.queues:resume_command", "Begin jobs again."),
    "endpoints": (
        "dispatcher.cli.endpoints:endpoints_group",
        "Register callback URLs, try them, switch them on and off.",
    ),
    "events": ("dispatcher.cli.events:events_command", "Show what happens, as it happens."),
    "destinations": (
        "dispatcher.cli.destinations:destinations_group",
        "List where callbacks go; pause and resume.",
    ),
    "callers": ("dispatcher.cli.callers:callers_group", "Make callers with their API keys."),
    "keys": ("dispatcher.cli.keys:keys_group", "Show and rotate the service's own keys."),
    "audit": ("dispatcher.cli.audit:audit_command", "Show what operators did."),
    "check": ("dispatcher.cli.check:check_command", "Find what is wrong with an installation."),
    "migrate": ("dispatcher.cli.migrate:migrate_command", "Bring the database up to date."),
}
"""Each command: where it is, and what it does, in one line."""

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130  # as shells say: 128 and SIGINT


class _Commands(click.Group):
    """Commands that are imported by name when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # as click has it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            also = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command {cmd_name!r}; {also}", ctx)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  # tells mypy what the table names
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # as click has it
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415  # slow, and rarely wanted

        click.echo(f"dispatcher {version('callback-dispatcher')}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted. "
    "DISPATCHER_DEBUG=1 shows tracebacks.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def group() -> None:
    """Accept jobs with 202, do them, and deliver signed callbacks until they land."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; answers the exit code."""
    try:
        answer: Any = group.main(
            args=None if arguments is None else list(arguments),
            prog_name="dispatcher",
            standalone_mode=False,
        )
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except SystemExit as error:  # click's, when whoever reads our output has gone
        return error.code if isinstance(error.code, int) else FAILED
    except Exception as error:  # noqa: BLE001  # the last place: everything becomes one line
        return _tell(error)
    return answer if isinstance(answer, int) else 0


def _tell(error: Exception) -> int:
    if os.environ.get("DISPATCHER_DEBUG", "") not in {"", "0"}:
        traceback.print_exception(error)
    match error:
        case click.exceptions.NoArgsIsHelpError():
            print(error.format_message(), file=sys.stderr)  # the help, with its lines
            return MISUSED
        case click.UsageError():
            about = f" ({error.ctx.command_path} --help tells more)" if error.ctx else ""
            line, code = error.format_message() + about, MISUSED
        case click.ClickException():
            line, code = error.format_message(), error.exit_code
        case SettingsError():
            line, code = str(error), MISUSED
        case DispatcherError():
            line, code = str(error), FAILED
        case _:
            line = (
                f"unexpected {type(error).__name__}: {error} (DISPATCHER_DEBUG=1 shows where; "
                "please report it)"
            )
            code = FAILED
    print(f"dispatcher: {' '.join(line.split())}", file=sys.stderr)
    return code
