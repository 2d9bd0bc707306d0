"""Every setting, in one frozen value that is parsed once.

What stands nearer to the command wins: defaults < `dispatcher.toml` < environment
(`DISPATCHER_…`) < flags. An unknown key in the file or among the flags is an error; in the
environment it is a warning, since platforms set such names themselves (beside a service named
`dispatcher`, Kubernetes gives each pod `DISPATCHER_SERVICE_HOST`, `DISPATCHER_PORT=tcp://…` and
more).
"""

from __future__ import annotations

from dispatcher.settings.declared import SETTINGS, Secret, Setting, Settings
from dispatcher.settings.parse import CONFIG_FILE, Parsed, parse_settings
from dispatcher.settings.queues import DeclaredQueue
from dispatcher.settings.types import CommandType, DeclaredType, HttpType, RemoteType

__all__ = [
    "CONFIG_FILE",
    "SETTINGS",
    "CommandType",
    "DeclaredQueue",
    "DeclaredType",
    "HttpType",
    "Parsed",
    "RemoteType",
    "Secret",
    "Setting",
    "Settings",
    "parse_settings",
]
