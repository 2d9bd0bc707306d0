from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from dispatcher.adapters.runners.load import load_app
from dispatcher.core.outcome import Failed, JobOutcome, Succeeded
from dispatcher.ports.runner import Runner
from tests.runners.fakes import Recorder, leased

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def profiler() -> Runner:
    return load_app(str(EXAMPLES / "profile_csv" / "app.py")).runners()["csv.profile"]


def module() -> ModuleType:
    """The example as a module, once it is loaded."""
    return next(
        each
        for each in list(sys.modules.values())
        if getattr(each, "__file__", None) == str(EXAMPLES / "profile_csv" / "app.py")
    )


@pytest.fixture
def folder(profiler: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's folder, but another one."""
    monkeypatch.setattr(module(), "FOLDER", tmp_path)
    return tmp_path


async def profile(profiler: Runner, file: str, **more: Any) -> JobOutcome:
    return await profiler.run(leased({"file": file, **more}), Recorder())


async def columns(profiler: Runner, file: str, **more: Any) -> dict[str, Any]:
    outcome = await profile(profiler, file, **more)
    assert isinstance(outcome, Succeeded), outcome
    return {each["name"]: each for each in msgspec.json.decode(outcome.result)["columns"]}


async def test_hello() -> None:
    runner = load_app(str(EXAMPLES / "hello.py")).runners()["hello"]
    assert await runner.run(leased("Ada"), Recorder()) == Succeeded(b'"Hello, Ada!"')
    told = Failed("bad-input", "Expected `str`, got `object`")
    assert await runner.run(leased({}), Recorder()) == told


async def test_the_profile_of_the_orders(profiler: Runner) -> None:
    report = Recorder()
    outcome = await profiler.run(leased({"file": "orders.csv"}), report)
    assert isinstance(outcome, Succeeded)
    result = msgspec.json.decode(outcome.result)
    schema = msgspec.json.decode(profiler.type.result_schema or b"")
    jsonschema_rs.Draft202012Validator(schema).validate(result)
    assert (result["rows"], result["ragged_rows"]) == (480, 8)

    by_name = {each["name"]: each for each in result["columns"]}
    assert {name: each["type"] for name, each in by_name.items()} == {
        "order_id": "number",
        "ordered_on": "date",
        "customer": "text",
        "country": "text",
        "product": "text",
        "quantity": "number",
        "unit_price": "number",
        "shipped_on": "date",
        "gift": "flag",
        "note": "text",
    }
    assert by_name["order_id"]["distinct"] == by_name["order_id"]["count"] == 480
    assert (by_name["order_id"]["min"], by_name["order_id"]["max"]) == (10_000, 10_479)
    assert by_name["order_id"]["mean"] == 10_239.5
    assert by_name["ordered_on"]["min"] == "2024-01-02"
    assert by_name["ordered_on"]["misfit_examples"] == ["2024-02-30"]
    assert by_name["unit_price"]["missing"] == 8
    assert by_name["unit_price"]["misfits"] == 8
    assert "a dozen" in by_name["quantity"]["misfit_examples"]
    assert by_name["country"]["top"][0]["value"] == "DE"

    size = (EXAMPLES / "profile_csv" / "orders.csv").stat().st_size
    done = [each.current for each in report.told]
    assert done == sorted(done)
    assert (done[-1], report.told[-1].total, report.told[-1].message) == (size, size, "480 rows")
    outputs = [msgspec.json.decode(each) for each in report.kept]
    assert [each["rows"] for each in outputs] == [100, 200, 300, 400]
    assert outputs[0]["columns"]["quantity"] == "number"


async def test_the_data_is_what_its_maker_makes() -> None:
    names: dict[str, Any] = {"__name__": "made"}
    maker = EXAMPLES / "profile_csv" / "make_orders.py"
    exec(compile(maker.read_text(encoding="utf-8"), maker, "exec"), names)  # noqa: S102  # our own
    text = (EXAMPLES / "profile_csv" / "orders.csv").read_bytes().decode("utf-8")
    assert names["make_orders"]() == text


@pytest.mark.parametrize(
    "name",
    [
        "gone.csv",
        "",
        ".",
        "..",
        "../hello.py",
        "app.py",
        "/etc/passwd",
        "a\0b",
        "x" * 5_000,
        "./orders.csv",
        "a/../orders.csv",
        "ORDERS.CSV",
    ],
    ids=lambda name: name[:20],
)
async def test_no_name_leads_anywhere_else(profiler: Runner, name: str) -> None:
    told = Failed("no-such-file", "there is no such file; there is orders.csv")
    assert await profile(profiler, name) == told


async def test_files_with_faults(profiler: Runner, folder: Path) -> None:
    (folder / "empty.csv").write_bytes(b"")
    (folder / "binary.csv").write_bytes(b"a,b\n1,\xff\n")
    (folder / "quote.csv").write_bytes(b'a,b\n1,"x"y\n')
    (folder / "header.csv").write_bytes(b"\xef\xbb\xbfa,b\n")
    shutil.copy(folder / "header.csv", folder / "newline.csv")
    assert await profile(profiler, "empty.csv") == Failed(
        "empty-file", "empty.csv has no header row"
    )
    assert await profile(profiler, "binary.csv") == Failed("not-utf-8", "line 2 is not UTF-8")
    assert await profile(profiler, "quote.csv") == Failed(
        "bad-csv", "line 2: ',' expected after '\"'"
    )
    assert set(await columns(profiler, "header.csv")) == {"a", "b"}
    outcome = await profile(profiler, "newline.csv", delimiter="\n")
    assert isinstance(outcome, Succeeded) or outcome.code == "bad-delimiter"  # type: ignore[union-attr]  # from 3.13 on


async def test_delimiters_and_what_columns_hold(profiler: Runner, folder: Path) -> None:
    (folder / "a.csv").write_text("n;d;e\n1;2024-01-01;\n2.5;2024-01-03;-\nx;nan;n/a\n\n4;;\n")
    found = await columns(profiler, "a.csv", delimiter=";")
    assert found["n"]["type"] == "text"  # one in four is none
    assert (found["n"]["min"], found["n"]["max"], found["n"]["mean"]) == ("1", "x", None)
    assert (found["d"]["count"], found["d"]["missing"]) == (3, 1)
    assert (found["e"]["type"], found["e"]["missing"], found["e"]["min"]) == ("empty", 4, None)
    refused = await profile(profiler, "a.csv", delimiter=";;")
    assert isinstance(refused, Failed)
    assert refused.code == "bad-input"


async def test_distinct_values_are_counted_up_to_a_bound(
    profiler: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(), "MAX_DISTINCT", 3)
    (folder / "a.csv").write_text("n\n" + "".join(f"{n}\n" for n in (1, 2, 3, 1, 4, 5)))
    found = (await columns(profiler, "a.csv"))["n"]
    assert (found["count"], found["distinct"], found["distinct_is_exact"]) == (6, 3, False)
    assert (found["max"], found["mean"]) == (5.0, 2.6667)
    assert found["top"][0] == {"value": "1", "count": 2}


async def test_it_stops_when_it_is_asked_to(
    profiler: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def nap(seconds: float) -> None:
        assert seconds == 0.1
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)

    monkeypatch.setattr(module().time, "sleep", nap)
    report = Recorder()
    task = asyncio.create_task(
        profiler.run(leased({"file": "orders.csv", "rows_per_second": 10}), report)
    )
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert report.kept == []  # it stopped within the first hundred rows
