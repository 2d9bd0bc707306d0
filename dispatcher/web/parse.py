"""The bytes of a submission as a core value, or everything that is wrong with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Raw

from dispatcher.core.addresses import Policy, Refused, Target, judge_url
from dispatcher.core.errors import FieldError, InvalidFields
from dispatcher.core.limits import Limits
from dispatcher.core.model import (
    Callback,
    CallbackMode,
    EventType,
    Instant,
    JobType,
    Submission,
    Trace,
)
from dispatcher.core.ordering import OnDead
from dispatcher.core.payload import encode
from dispatcher.core.retry import Schedule
from dispatcher.core.submission import (
    TIME_EXAMPLE,
    check_attempts,
    check_duration,
    check_headers,
    check_metadata,
    check_schedule,
    check_text,
    check_times,
    parse_rfc3339,
)
from dispatcher.engine.catalog import Catalog
from dispatcher.ports.system import Clock
from dispatcher.ports.vault import Vault
from dispatcher.web.body import not_json
from dispatcher.web.faults import MAX_FAULTS, find_faults, whole_numbers
from dispatcher.web.schemas import Schemas
from dispatcher.web.wire import CallbackBody, SubmissionBody

_decode: Final = msgspec.json.Decoder(SubmissionBody).decode
_NO_INPUT: Final = Raw()
_TYPES_NAMED: Final = 50
_URLS_KEPT: Final = 2_048


class SubmissionParser:
    """Turns the body of `POST /v1/jobs` into a `Submission` with every default filled in."""

    def __init__(
        self, catalog: Catalog, vault: Vault, clock: Clock, policy: Policy, limits: Limits
    ) -> None:
        self._catalog = catalog
        self._vault = vault
        self._clock = clock
        self._limits = limits
        self._schemas = Schemas()

        @lru_cache(_URLS_KEPT)  # a caller has few URLs and many jobs
        def judge(url: str) -> Target | Refused:
            return judge_url(url, policy)

        self._judge = judge

    def parse(self, body: bytes, caller_id: str, trace: Trace | None) -> Submission:
        """The submission.

        Args:
            body: JSON that `strict_json.check_json` passed.
            caller_id: for whom the callback's headers are sealed.
            trace: as it came with the request.

        Raises:
            MalformedBody: it is not JSON.
            InvalidFields: it does not fit; with all its faults, up to `MAX_FAULTS`.
        """
        now = self._clock.now()
        asked, faults = _read(body)
        kind = self._catalog.get(asked.type)
        times = _Times(asked, now)
        target = None if asked.callback_url is None else self._judge(asked.callback_url)
        checks = itertools.chain(
            faults,
            self._check_type(asked, kind),
            self._check_callback(asked, target),
            times.faults,
            check_times(times.run_at, times.start_by, times.deadline, now, self._limits),
            self._check_rest(asked, kind),
        )
        told = tuple(itertools.islice(checks, MAX_FAULTS))
        if told or kind is None:
            raise InvalidFields(told)
        return Submission(
            type=asked.type,
            input=bytes(asked.input),
            queue=asked.queue or kind.queue,
            priority=_or(asked.priority, self._limits.default_priority),
            run_at=times.due_at,
            start_by=times.start_by,
            deadline=times.deadline,
            timeout_seconds=_or(asked.timeout_seconds, kind.timeout_seconds),
            max_attempts=_or(asked.max_attempts, kind.max_attempts),
            retention_seconds=_or(asked.retention_seconds, self._limits.default_retention_seconds),
            callback=self._callback(asked, target, caller_id),
            correlation_id=asked.correlation_id,
            metadata=asked.metadata or None,
            trace=trace,
            ordering_key=asked.ordering_key,
        )

    def _check_type(self, asked: SubmissionBody, kind: JobType | None) -> Iterator[FieldError]:
        if kind is None:
            if asked.type:  # else it is missing or malformed, and that has been said
                names = [each.name for each in self._catalog.all()]
                more = ", …" if len(names) > _TYPES_NAMED else ""
                there = ", ".join(names[:_TYPES_NAMED]) or "none"
                yield FieldError(
                    "/type", "unknown-type", f"There is no such type; there are: {there}{more}."
                )
        elif asked.input is not _NO_INPUT:
            yield from self._schemas.find_faults(kind, bytes(asked.input))

    def _check_callback(
        self, asked: SubmissionBody, target: Target | Refused | None
    ) -> Iterator[FieldError]:
        limits = self._limits
        url = asked.callback_url
        if url is not None and len(url) > limits.url_characters:
            yield FieldError(
                "/callbackUrl", "too-long", f"A URL has at most {limits.url_characters} characters."
            )
        elif isinstance(target, Refused):
            yield FieldError("/callbackUrl", "callback-url-refused", target.detail)
        callback = asked.callback
        if callback is None:
            return
        if url is None:
            yield FieldError(
                "/callback", "no-callback-url", "callback says how to call back, callbackUrl where."
            )
        if callback.headers is not None:
            yield from check_headers(callback.headers, limits)
        if callback.schedule is not None:
            yield from check_schedule(callback.schedule, limits)
        if callback.on_dead is not None and not callback.ordered:
            yield FieldError(
                "/callback/onDead", "conflict", "onDead needs ordered: true; else none waits."
            )

    def _check_rest(self, asked: SubmissionBody, kind: JobType | None) -> Iterator[FieldError]:
        limits = self._limits
        if (delay := asked.delay_seconds) is not None:
            yield from check_duration("/delaySeconds", delay, limits.delay_seconds)
            if asked.run_at is not None:
                yield FieldError(
                    "/delaySeconds", "conflict", "Say runAt or delaySeconds, not both."
                )
        if (timeout := asked.timeout_seconds) is not None:
            at = "/timeoutSeconds"
            most = None if kind is None else kind.max_timeout_seconds
            if most is not None and most < limits.timeout_seconds:
                yield from check_duration(at, timeout, most, whose=f"type {asked.type}")
            else:
                yield from check_duration(at, timeout, limits.timeout_seconds)
        if (attempts := asked.max_attempts) is not None:
            most_attempts = None if kind is None else kind.most_attempts
            if most_attempts is not None and most_attempts < limits.max_attempts:
                yield from check_attempts(attempts, most_attempts, whose=f"type {asked.type}")
            else:
                yield from check_attempts(attempts, limits.max_attempts)
        if (retention := asked.retention_seconds) is not None:
            yield from check_duration("/retentionSeconds", retention, limits.retention_seconds)
        yield from _check_texts(asked, limits)
        if asked.metadata is not None:
            yield from check_metadata(asked.metadata, limits)

    def _callback(
        self, asked: SubmissionBody, target: Target | Refused | None, caller_id: str
    ) -> Callback | None:
        if not isinstance(target, Target):
            return None
        how = asked.callback or CallbackBody()
        return Callback(
            url=target.url,
            origin=target.origin,
            events=None
            if how.events is None
            else tuple(EventType(each) for each in dict.fromkeys(how.events)),
            mode=how.mode or CallbackMode.FULL,
            schedule=None if how.schedule is None else Schedule(tuple(how.schedule)),
            headers=tuple(how.headers or ()),
            sealed_headers=(
                self._vault.seal(encode(how.headers), caller_id) if how.headers else None
            ),
            ordered=(how.on_dead or OnDead.SKIP) if how.ordered else None,
        )


def _check_texts(asked: SubmissionBody, limits: Limits) -> Iterator[FieldError]:
    for at, text in (
        ("/orderingKey", asked.ordering_key),
        ("/correlationId", asked.correlation_id),
    ):
        if text is not None:
            yield from check_text(at, text, limits)


def _read(body: bytes) -> tuple[SubmissionBody, list[FieldError]]:
    """The body as far as its members have the right types, and the faults of those that have not.

    A `type` or `input` that is not right is left empty.
    """
    try:
        return _decode(body), []
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError as error:
        raise not_json(error, body) from None
    try:
        good, faults = find_faults(whole_numbers(body, SubmissionBody), SubmissionBody)
    except msgspec.DecodeError as error:
        raise not_json(error, body) from None
    if isinstance(good, SubmissionBody):
        return good, []
    if good is None:  # no object: nothing more can be said
        raise InvalidFields(tuple(faults))
    return SubmissionBody(**({"type": "", "input": _NO_INPUT} | good)), faults


class _Times:
    """The times that a submission names, with what is wrong with them one by one.

    `run_at` is what it names itself; `due_at` counts the delay in.
    """

    def __init__(self, asked: SubmissionBody, now: Instant) -> None:
        self.faults: list[FieldError] = []
        self.run_at = self._read("/runAt", asked.run_at)
        self.start_by = self._read("/startBy", asked.start_by)
        self.deadline = self._read("/deadline", asked.deadline)
        self.due_at = self.run_at
        delay = asked.delay_seconds
        if delay is not None and 0 < delay < _FAR_SECONDS:
            self.due_at = now + round(delay * 1000)

    def _read(self, at: str, text: str | None) -> Instant | None:
        if text is None:
            return None
        instant = parse_rfc3339(text)
        if instant is None:
            self.faults.append(FieldError(at, "bad-time", f"It must be {TIME_EXAMPLE}."))
        return instant


_FAR_SECONDS: Final = 1e9
"""A delay beyond every bound, which is refused elsewhere and must not overflow here."""


def _or(given: Any, default: Any) -> Any:
    return default if given is None else given
