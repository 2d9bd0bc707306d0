"""The transport of the command line, on a real socket."""

from __future__ import annotations

import socket

import pytest

from dispatcher.client.http import Refused, Service, Unreachable
from tests.cli.scripted import Reply, Scripted, serving


def test_a_path_before_the_service_is_kept() -> None:
    with serving(Scripted(Reply(200, {}))) as scripted:
        Service(f"{scripted.url}/jobs/").call("GET", "/healthz")
    assert scripted.seen[0].path == "/jobs/healthz"


def test_a_refusal_tells_when_to_come_again() -> None:
    date = {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}
    with serving(Scripted(Reply(429, {}, {"retry-after": "3"}), Reply(503, {}, date))) as scripted:
        service = Service(scripted.url)
        with pytest.raises(Refused) as soon:
            service.call("GET", "/")
        with pytest.raises(Refused) as late:
            service.call("GET", "/")
    assert soon.value.again
    assert soon.value.retry_after_seconds == 3
    assert late.value.retry_after_seconds is not None
    assert late.value.retry_after_seconds > 86_400


def test_a_service_that_does_not_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"did not answer within 0\.05 s"):
            Service(url, timeout_seconds=0.05).call("GET", "/")


def test_tls_to_a_service_without_it() -> None:
    with (
        serving(Scripted(Reply(200, {}))) as scripted,
        pytest.raises(Unreachable, match="TLS failed"),
    ):
        Service(scripted.url.replace("http:", "https:")).call("GET", "/")
