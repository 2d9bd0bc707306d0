"""What every answer bears, whoever makes it and however it is written."""

from __future__ import annotations

from typing import Final

from aiohttp import web

REQUEST_ID: Final = "Request-Id"


def sign(response: web.StreamResponse, request_id: str) -> None:
    """Put the headers in that every answer bears."""
    response.headers[REQUEST_ID] = request_id
    response.headers["Server"] = "dispatcher"  # aiohttp would tell its version, and Python's
