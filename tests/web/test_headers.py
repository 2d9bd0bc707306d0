from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.errors import InvalidHeader
from dispatcher.core.limits import Limits
from dispatcher.web.headers import (
    Form,
    check_transfer,
    choose_form,
    is_json,
    matches_etag,
    parse_idempotency_key,
    parse_trace,
    sane_request_id,
)
from dispatcher.web.refusals import UnknownTransferCoding

LIMITS = Limits()

# --- Idempotency-Key: draft-ietf-httpapi-idempotency-key-header-06, 2.1, and RFC 8941, 3.3.3 ------


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"clkyoesmbgybucifusbbtdsbohtyuuwz"', "clkyoesmbgybucifusbbtdsbohtyuuwz"),
        ('"a";x=1', "a"),
        ('"a"; x="y;z" ;q', "a"),
        (' "a" ', "a"),
        (r'"a\"b\\c"', r'a"b\c'),
        ('"' + "k" * 256 + '"', "k" * 256),
        # Bare, as clients of other services send it: ours on purpose.
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("clkyoesmbgybucifusbbtdsbohtyuuwz", "clkyoesmbgybucifusbbtdsbohtyuuwz"),
        ("order:4711/v2", "order:4711/v2"),
    ],
)
def test_an_idempotency_key_is_read_quoted_or_bare(field: str, key: str) -> None:
    assert parse_idempotency_key([field], LIMITS) == key


@pytest.mark.parametrize(
    "field",
    [
        '"a", "b"',
        "'a'",
        '"\u00e9"',
        '"a\tb"',
        '"a b"',  # legal for the draft; keys are visible ASCII here
        r'"a\b"',
        '"a"b',
        '"a";X=1',
        ":YWJj:",
        "?1",
        "(a b)",
        '"unterminated',
        "",
        '""',
        '"' + "k" * 257 + '"',
        "k" * 257,
    ],
)
def test_a_malformed_idempotency_key_is_refused(field: str) -> None:
    with pytest.raises(InvalidHeader, match="Idempotency-Key must be one quoted string"):
        parse_idempotency_key([field], LIMITS)


def test_one_idempotency_key_is_enough() -> None:
    assert parse_idempotency_key([], LIMITS) is None
    with pytest.raises(InvalidHeader):
        parse_idempotency_key(['"a"', '"a"'], LIMITS)


@given(st.text(st.characters(max_codepoint=300)))
def test_any_idempotency_key_is_read_or_refused(field: str) -> None:
    try:
        key = parse_idempotency_key([field], LIMITS)
    except InvalidHeader:
        return
    assert key
    assert key.isascii()
    assert " " not in key


# --- Trace Context -----------------------------------------------------------------------------

TRACE = "12345678901234567890123456789012"
PARENT = "1234567890123456"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        # W3C trace-context, test/test.py: the cases of TraceContextTest and TraceContext2Test
        ([GOOD], GOOD),
        ([f" {GOOD}"], GOOD),
        ([f"\t {GOOD} \t"], GOOD),
        ([f"cc-{TRACE}-{PARENT}-01"], GOOD),  # a later version is passed on as ours
        ([f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like"], GOOD),
        ([f"00-{TRACE}-{PARENT}-02"], f"00-{TRACE}-{PARENT}-02"),
        # W3C trace-context, test_traceparent.py: every id and flag; unknown flags are sent as 0
        ([f"00-{'f' * 32}-{'f' * 16}-00"], f"00-{'f' * 32}-{'f' * 16}-00"),
        ([f"00-{TRACE}-{PARENT}-ff"], f"00-{TRACE}-{PARENT}-03"),
        ([], None),
        ([GOOD, GOOD.replace("9012", "9013")], None),
        ([f"{GOOD}."], None),
        ([f"{GOOD}-what-the-future-will-be-like"], None),
        ([f"cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like"], None),
        ([f"ff-{TRACE}-{PARENT}-01"], None),
        ([f"0000-{TRACE}-{PARENT}-01"], None),
        ([f"0-{TRACE}-{PARENT}-01"], None),
        ([f"00-{'0' * 32}-{PARENT}-01"], None),
        ([f"00-{TRACE[:-1]}.-{PARENT}-01"], None),
        ([f"00-{TRACE[:-1]}-{PARENT}-01"], None),
        ([f"00-{TRACE}-{'0' * 16}-01"], None),
        ([f"00-{TRACE}-{PARENT}-.0"], None),
        ([f"00-{TRACE}-{PARENT}-0."], None),
        ([f"00-{TRACE}-{PARENT}-1"], None),
        ([f"cc-{TRACE}-{PARENT}-"], None),
        # The grammar (W3C Trace Context, 3.2.2): HEXDIGLC
        (["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"], None),
        (["00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01"], None),
    ],
)
def test_a_traceparent_is_kept_if_it_is_one(fields: list[str], kept: str | None) -> None:
    trace = parse_trace(fields, [])
    assert (None if trace is None else trace.traceparent) == kept


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ([], None),
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1", "bar=2"], "foo=1,bar=2"),
        (["foo=1 \t , \t bar=2, "], "foo=1,bar=2"),
        (["foo=1,,bar=2"], "foo=1,bar=2"),
        (["tenant@system=a b"], "tenant@system=a b"),
        (["foo=1,foo=2"], None),
        (["foo =1"], None),
        (["FOO=1"], None),
        (["foo=a=b"], None),
        (["foo="], None),
        (["foo"], None),
        ([",".join(f"k{n}=1" for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([",".join(f"k{n}=1" for n in range(33))], None),
        ([f"a={'x' * 250},b={'y' * 250},c={'z' * 250}"], f"a={'x' * 250},b={'y' * 250}"),
        ([f"a={'x' * 253},b={'y' * 254}"], f"a={'x' * 253},b={'y' * 254}"),  # 512 characters
        ([f"a={'x' * 254},b={'y' * 254}"], f"a={'x' * 254}"),
    ],
)
def test_a_tracestate_is_kept_if_it_is_one(fields: list[str], kept: str | None) -> None:
    trace = parse_trace([GOOD], fields)
    assert trace is not None
    assert trace.traceparent == GOOD
    assert trace.tracestate == kept


# --- The others --------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [["chunked", "gzip"], ["gzip", "chunked"], ["chunked"] * 2, []])
def test_chunked_alone_is_understood(values: list[str]) -> None:
    check_transfer([" Chunked\t"])
    with pytest.raises(UnknownTransferCoding):
        check_transfer(values)


@pytest.mark.parametrize(
    ("field", "fits"),
    [
        ("", False),
        ('"tag"', True),
        ('W/"tag"', True),
        ('"other", W/"tag"', True),
        ("*", True),
        ('"other"', False),
        ('"tag', False),
        ("tag", False),
    ],
)
def test_if_none_match_compares_weakly(field: str, fits: bool) -> None:
    assert matches_etag(field, '"tag"') is fits


@pytest.mark.parametrize(
    ("field", "json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ('application/json;charset="utf-8"', True),
        ("application/json; profile=x", True),
        ("application/json; charset=utf8", True),
        ("application/json; charset=US-ASCII", True),
        ("application/json; charset=latin-1", False),
        ("application/cloudevents+json", False),
        ("text/json", False),
        ("application/x-www-form-urlencoded", False),
        ("", False),
        (None, False),
    ],
)
def test_only_json_is_json(field: str | None, json: bool) -> None:
    assert is_json(field) is json


@pytest.mark.parametrize(
    ("field", "form"),
    [
        ("text/event-stream", Form.STREAM),
        ("Text/Event-Stream;q=0.5", Form.STREAM),
        ("text/event-stream, */*;q=0.1", Form.STREAM),
        ("text/event-stream, */*", Form.STREAM),
        ("text/*", Form.STREAM),
        ("text/event-stream, application/json", Form.JSON),
        ("text/event-stream, application/json;q=0.9", Form.STREAM),
        ("application/json, text/event-stream;q=0.9", Form.JSON),
        ("application/json;q=0, */*", Form.STREAM),
        ("*/*", Form.JSON),
        ("*/*;q=0.1", Form.JSON),
        ("text/html, */*;q=0.8", Form.JSON),
        ("application/*", Form.JSON),
        ("", Form.JSON),
        (" , ", Form.JSON),
        (None, Form.JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("text/event-stream;q=0", None),
        ("*/*;q=0", None),
        ("application/json;q=2", None),
        ("application/xml, image/*", None),
    ],
)
def test_the_form_that_is_liked_best(field: str | None, form: Form | None) -> None:
    assert choose_form([] if field is None else [field]) is form
    assert choose_form([] if field is None else field.split(",")) is form


@pytest.mark.parametrize("field", ["abc", "8e03978e-40d5", "a.b_c:d/e+f=g@h", "x" * 128])
def test_a_sane_request_id_is_kept(field: str) -> None:
    assert sane_request_id(field) == field


@pytest.mark.parametrize("field", [None, "", "-x", "a b", "x" * 129, "é", "a\tb", 'a"b'])
def test_a_strange_request_id_is_not(field: str | None) -> None:
    assert sane_request_id(field) is None
