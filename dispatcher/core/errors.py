"""The root of the errors, and those by which callers, operators and handlers are told something.

An answer that a receiver gives, or a job that fails, is a value and not an error: see `outcome`.
What one layer alone raises may stand there, with the same root: the refusals that HTTP alone has in
`web/refusals.py`, what a caller's program meets in `client/errors.py`, what a signature or a
command has of its own beside it. An exception that never leaves its layer, by which one module of
an adapter tells another that a line broke, say, is no part of the tree.

Each class says in its docstring when it is raised; its message tells a person what to do next.
`web/problems.py` maps the tree to RFC 9457 problems, in one table.
"""

from __future__ import annotations

from msgspec import Struct


class DispatcherError(Exception):
    """The root of every error of this project that leaves the layer which raised it on purpose."""


# --- What a caller can mend --------------------------------------------------------------------


class FieldError(Struct, frozen=True):
    """One thing that is wrong with a body.

    `pointer` is a JSON pointer (RFC 6901, "" is the whole body), `code` a stable word,
    `detail` a sentence for a person.
    """

    pointer: str
    code: str
    detail: str


class RequestError(DispatcherError):
    """A request that can't be carried out as it stands; nothing was changed.

    `code` is the stable word of the problem.
    """

    code = "bad-request"


class MalformedBody(RequestError):
    """The body is not JSON in UTF-8."""

    code = "malformed-json"


class InvalidFields(RequestError):
    """The body is JSON but does not fit: all its faults at once."""

    code = "invalid-fields"

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(f"{e.pointer or 'body'}: {e.detail}" for e in errors))
        self.errors = errors


class InvalidHeader(RequestError):
    """A request header that can't be understood."""

    code = "invalid-header"


class InvalidParameter(RequestError):
    """A query parameter that is unknown or has a value out of its range."""

    code = "invalid-parameter"


class NotFound(RequestError):
    """There is no such thing, or it belongs to another caller. `what` is e.g. "job"."""

    def __init__(self, what: str, id: str) -> None:  # noqa: A002  # the field's own word
        super().__init__(f"There is no {what} {id!r} that this API key may see.")
        self.what = what
        self.id = id
        self.code = f"{what}-not-found"


class Gone(RequestError):
    """There was such a thing, and it was erased. `what` is "job" or "delivery"."""

    def __init__(self, what: str, id: str) -> None:  # noqa: A002  # the field's own word
        super().__init__(f"The {what} {id!r} was erased, with all that was its own.")
        self.code = f"{what}-gone"


class JobNotDone(RequestError):
    """The result was asked for, or the job was to be erased, before it ended."""

    code = "job-not-done"


class JobUnsuccessful(RequestError):
    """The result was asked for of a job that ended without one: failed, canceled or expired.

    `status` is the job's, `error` its own error as JSON members (None: it has none).
    """

    def __init__(self, status: str, error: dict[str, object] | None) -> None:
        super().__init__(f"The job ended as {status} and has no result; `error` says why.")
        self.code = f"job-{status}"
        self.error = error


class DeliveryPending(RequestError):
    """A redelivery was asked for of a delivery that has not ended: its round is under way."""

    code = "delivery-pending"


class LeaseEnded(RequestError):
    """A remote worker's lease was lost, or another end was said under it: nothing was changed."""

    code = "lease-lost"

    def __init__(self) -> None:
        super().__init__(
            "This lease is not in force: it ended before it was renewed, or its job has ended. "
            "Stop this work, and lease anew."
        )


class EndpointDisabled(RequestError):
    """A ping was asked for of an endpoint that is disabled."""

    code = "endpoint-disabled"


class EndpointDeleted(RequestError):
    """A redelivery was asked for to a registered endpoint that was deleted."""

    code = "endpoint-deleted"


class DeliveriesOpen(RequestError):
    """A job was to be erased that owes deliveries which have not ended."""

    code = "deliveries-open"


class DeliveriesSending(RequestError):
    """The same, with its deliveries canceled but for one that is under way: try again soon."""

    code = "deliveries-sending"


class IdempotencyKeySpent(RequestError):
    """The job that the key made was erased since: another is not made of the same submission."""

    code = "job-gone"


class IdempotencyKeyReused(RequestError):
    """The same Idempotency-Key came with another body (the IETF draft: 422)."""

    code = "idempotency-key-reused"


class NameTaken(RequestError):
    """A caller of that name is there already."""

    code = "name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"A caller named {name!r} is there already: choose another name.")


class TooMany(RequestError):
    """No more of them may be in force at once. `what` is e.g. "secret", `advice` a sentence."""

    def __init__(self, what: str, most: int, advice: str) -> None:
        super().__init__(f"At most {most} {what}s may be in force at once. {advice}")
        self.code = f"too-many-{what}s"


class OverRate(RequestError):
    """More submissions came than the caller's rate allows (429). None of it was looked at."""

    code = "rate-limited"

    def __init__(self, requests: int, window_seconds: int, retry_seconds: int) -> None:
        super().__init__(
            f"This caller may submit {requests} times in {window_seconds} s; that is used up. "
            f"Submit again in {retry_seconds} s."
        )
        self.retry_seconds = retry_seconds


class OverQuota(RequestError):
    """As much of the caller's waits as may (429). `limit` is a word of `quotas.Full`."""

    code = "quota-exceeded"

    def __init__(self, limit: str, advice: str) -> None:
        super().__init__(advice)
        self.limit = limit


class Unauthenticated(RequestError):
    """No API key, or one that is unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(RequestError):
    """The key is good but its role may not make this call, or `--dev` refuses the origin."""

    code = "forbidden"


# --- What an operator can mend -----------------------------------------------------------------


class SettingsError(DispatcherError):
    """A setting that is unknown, out of range or contradicts another."""


class StoreError(DispatcherError):
    """The root of what the store says when it can't do its work."""


class StoreUnavailable(StoreError):
    """The store can't be used now (disk full, locked, connection lost): try again.

    Whether the change was written may be unknown: it is read back by id and lease token.
    """


class StoreCorrupt(StoreError):
    """The database is damaged, or no database of ours. It needs a person."""


class SchemaMismatch(StoreError):
    """The database was written by another version: migrate it, or run the version that wrote it."""


class StoreLocked(StoreError):
    """Another process already serves this SQLite file."""


class StoreMoved(StoreError):
    """What the database held was moved to another one, or a move from or to it is under way."""


class SecretsUnreadable(DispatcherError):
    """The key that encrypts secrets is missing, malformed or not the one they were sealed with."""


class Overloaded(DispatcherError):
    """More is under way at once than the service may hold in memory: try again in a moment."""


class QueueFull(DispatcherError):
    """As many jobs wait in the queue as may, whoever they belong to (503)."""


class Stopping(DispatcherError):
    """The service is shutting down and takes no more work."""


# --- What a handler says by raising ------------------------------------------------------------


class Verdict(Exception):  # raised by handlers as a statement, not as an error
    """The root of what a handler raises to say how its job ends."""


class Fail(Verdict):
    """The job has failed and is not tried again.

    Args:
        code: a stable word of the handler's own, `[a-z0-9][a-z0-9._-]{0,99}`.
        detail: a sentence for the caller.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Retry(Verdict):
    """This attempt has failed; try again, `after` seconds from now (None: the type's backoff)."""

    def __init__(self, after: float | None = None, detail: str = "") -> None:
        super().__init__(after, detail)
        self.after = after
        self.detail = detail


class Cancel(Verdict):
    """The job is not to be done: it ends as canceled, with `why` told to the caller."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Snooze(Verdict):
    """Not now: run the job again in `seconds`, giving this attempt back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds
