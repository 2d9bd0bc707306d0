"""Jobs of every temper for the crash test: short, long, in threads, failing at first, talkative."""

import asyncio
import time

from dispatcher import Dispatcher, JobContext, Retry

app = Dispatcher()


@app.job("crash.sleep", max_attempts=50)
async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@app.job("crash.thread", max_attempts=50, concurrency=8)
def thread(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.job("crash.again", max_attempts=50, backoff=0.05)
async def again(job: JobContext) -> int:
    if job.attempt == 1:
        raise Retry(after=0.05)
    return job.attempt


@app.job("crash.fragile", max_attempts=1)
async def fragile(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@app.job("crash.talk", max_attempts=50)
async def talk(job: JobContext, pages: int) -> int:
    for page in range(pages):
        await job.progress(page, total=pages)
        await job.output({"page": page})
    return pages
