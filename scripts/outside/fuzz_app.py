"""Jobs whose inputs have schemas, for `fuzz`: of each the description tells what fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from dispatcher import Dispatcher, Fail, JobContext

app = Dispatcher()


@dataclass
class Page:
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    inner: list[Page] = field(default_factory=list)


@dataclass
class Request:
    kind: Literal["short", "long"]
    pages: Annotated[int, msgspec.Meta(ge=1, le=50)] = 1
    first: Page | None = None


@dataclass
class Report:
    pages: int


@app.job("report.generate", max_attempts=2)
async def generate(job: JobContext, request: Request) -> Report:
    await job.output({"kind": request.kind})
    if request.pages > 40:
        raise Fail("too-long", "That is too long.")
    if request.pages > 30:
        raise ValueError("a defect")
    return Report(request.pages)


@app.job("greet")
async def greet(name: str) -> str:
    return f"Hello, {name}!"
