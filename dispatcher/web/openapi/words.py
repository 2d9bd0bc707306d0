"""What is said of the API as a whole, for whoever has nothing else to read."""

from __future__ import annotations

from typing import Final

from dispatcher.core.model import Role

OVERVIEW: Final = """\
Submit a job with `POST /v1/jobs`: the answer is a 202 with the job's id, once it is durably \
stored. When the job has ended, its callback is POSTed to the `callbackUrl` that you named, and \
tried again for about three days until it lands. Or ask for the job at `Location`, as often as \
`Retry-After` says, until `done` is true.

**Keys.** Send `Authorization: Bearer <api key>`. You see your own things alone; another's are a \
404.

**JSON** in UTF-8, camelCase names. Times are RFC 3339 in UTC with milliseconds. An unknown \
member of a body and an unknown query parameter are a 422 that names it.

**Problems.** Every error is `application/problem+json` (RFC 9457). `code` is a stable word to \
decide by; of a body that does not fit, `errors` says all that is wrong with it, with JSON \
pointers.

**Again, safely.** Send a submission with an `Idempotency-Key`. If no answer came, or a 503, \
send it again with the same key and body: it makes one job.

**Lists** take `limit` and `cursor`, and answer `{"items": […], "nextCursor": …}`. A `GET` can \
be a `HEAD`, too.

**Callbacks** are signed as Standard Webhooks say, so any of its libraries verifies them. They \
come at least once: deduplicate by `webhook-id`. One may come before you have read the 202: \
match it by `correlationId`.

Changes of this API are additive only: ignore members that you do not know."""


def who_may(roles: frozenset[Role], *, dev: bool) -> str:
    """Who may make a call; empty: anyone."""
    if not roles:
        return ""
    if len(roles) == len(Role):
        names = "any role"
    else:
        names = "the role " + " or ".join(f"`{role}`" for role in sorted(roles))
    open_here = " In `--dev` this machine needs none." if dev else ""
    return f"Needs an API key with {names}.{open_here}"
