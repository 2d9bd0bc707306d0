"""Profiles a CSV file: what is in each column, and what does not fit there.

dispatcher serve examples/profile_csv/app.py --dev
dispatcher submit csv.profile '{"file": "orders.csv"}' --wait
"""

import csv
import math
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from dispatcher import Dispatcher, Fail, JobContext

app = Dispatcher()

FOLDER = Path(__file__).parent
CHUNK_ROWS = 100
MAX_DISTINCT = 10_000  # values remembered for each column: memory must not grow with the file
MOSTLY = 0.9  # a column is of a type that nine in ten of its values have
MISSING = frozenset({"", "-", "n/a", "na", "null", "none"})
FLAGS = frozenset({"yes", "no", "true", "false"})


@dataclass
class Request:
    """Which file to profile."""

    file: Annotated[str, Meta(description="Its name in the folder of the example, as orders.csv")]
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    rows_per_second: Annotated[float, Meta(ge=1)] | None = None  # to have something to watch


@dataclass
class Top:
    value: str
    count: int


@dataclass
class Column:
    """`type` is number, date, flag, text or empty; `misfits` are values that are not of it."""

    name: str
    type: str
    count: int
    missing: int
    distinct: int
    distinct_is_exact: bool
    min: float | str | None
    max: float | str | None
    mean: float | None
    top: list[Top]
    misfits: int
    misfit_examples: list[str]


@dataclass
class Profile:
    """`ragged_rows` have more or fewer cells than the header."""

    file: str
    rows: int
    ragged_rows: int
    columns: list[Column]


@app.job("csv.profile", timeout=300, concurrency=4)
def profile(job: JobContext, request: Request) -> Profile:
    """Count, type, extremes and faults of each column of a CSV file."""
    path = find(request.file)
    size = path.stat().st_size
    reader = Reader(path, request.delimiter)
    rows = reader.rows()
    header = next(rows, None)
    if header is None:
        raise Fail("empty-file", f"{request.file} has no header row")
    tallies = [Tally(name.strip()) for name in header]
    count = ragged = 0
    for row in rows:
        count += 1
        ragged += len(row) != len(header)
        for tally, cell in zip(tallies, row, strict=False):
            tally.add(cell.strip())
        if count % CHUNK_ROWS == 0:
            job.raise_if_canceled()
            job.progress(reader.bytes_read, total=size, message=f"{count} rows")
            job.output({"rows": count, "columns": {each.name: each.guess() for each in tallies}})
        if request.rows_per_second is not None:
            job.raise_if_canceled()
            time.sleep(1 / request.rows_per_second)
    job.progress(size, total=size, message=f"{count} rows")
    return Profile(request.file, count, ragged, [each.column() for each in tallies])


def find(name: str) -> Path:
    """The file of that name. Names are looked up and never put into a path: none leads out."""
    there = {each.name: each for each in sorted(FOLDER.glob("*.csv")) if each.is_file()}
    if name not in there:
        raise Fail("no-such-file", f"there is no such file; there is {', '.join(there)}")
    return there[name]


class Reader:
    """Reads a CSV file row by row, and knows how far it is."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self.path = path
        self.delimiter = delimiter
        self.bytes_read = 0

    def rows(self) -> Generator[list[str]]:
        lines = self._lines()
        try:
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        except (TypeError, ValueError) as error:
            raise Fail("bad-delimiter", str(error)) from error
        try:
            yield from (row for row in reader if row)
        except csv.Error as error:
            raise Fail("bad-csv", f"line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise Fail("not-utf-8", f"line {reader.line_num + 1} is not UTF-8") from error
        finally:
            lines.close()

    def _lines(self) -> Generator[str]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                self.bytes_read += len(line)
                yield line.decode("utf-8" if number else "utf-8-sig")


@dataclass
class Tally:
    """What is known of a column so far."""

    name: str
    missing: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    forgotten: bool = False
    total: float = 0.0
    least: dict[str, float | str] = field(default_factory=dict)
    most: dict[str, float | str] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, cell: str) -> None:
        if cell.lower() in MISSING:
            self.missing += 1
            return
        if cell in self.values or len(self.values) < MAX_DISTINCT:
            self.values[cell] += 1
        else:
            self.forgotten = True
        kind, value = read(cell)
        self.kinds[kind] += 1
        if isinstance(value, float):
            self.total += value
        self.least[kind] = min(self.least.get(kind, value), value)
        self.most[kind] = max(self.most.get(kind, value), value)
        examples = self.examples.setdefault(kind, [])
        if len(examples) < 3 and cell not in examples:  # noqa: PLR2004  # enough to see
            examples.append(cell)

    def guess(self) -> str:
        """The type of nearly all values; text fits all."""
        count = self.kinds.total()
        if count == 0:
            return "empty"
        kind, most = self.kinds.most_common(1)[0]
        return kind if most >= MOSTLY * count else "text"

    def column(self) -> Column:
        kind = self.guess()
        strange = [] if kind == "text" else [each for each in self.kinds if each != kind]
        return Column(
            name=self.name,
            type=kind,
            count=self.kinds.total(),
            missing=self.missing,
            distinct=len(self.values),
            distinct_is_exact=not self.forgotten,
            min=min(self.values) if kind == "text" else self.least.get(kind),
            max=max(self.values) if kind == "text" else self.most.get(kind),
            mean=round(self.total / self.kinds[kind], 4) if kind == "number" else None,
            top=[Top(value, count) for value, count in self.values.most_common(3)],
            misfits=sum(self.kinds[each] for each in strange),
            misfit_examples=[cell for each in strange for cell in self.examples[each]][:3],
        )


def read(cell: str) -> tuple[str, float | str]:
    """The kind of a value, and what it is compared by."""
    try:
        number = float(cell)
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            return "number", number
    try:
        return "date", date.fromisoformat(cell).isoformat()
    except ValueError:
        return ("flag" if cell.lower() in FLAGS else "text"), cell
