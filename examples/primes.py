from dispatcher import Dispatcher, JobContext

app = Dispatcher()


# It computes for seconds: in a worker process it takes a processor of its own, and holds nobody up.
@app.job("primes.count", process=True, concurrency=2, timeout=600)
def count(job: JobContext, below: int) -> int:
    """How many primes there are below a number."""
    found = 0
    for number in range(2, below):
        if number % 10_000 == 0:
            job.progress(number, total=below)
            job.raise_if_canceled()
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
            found += 1
    return found
