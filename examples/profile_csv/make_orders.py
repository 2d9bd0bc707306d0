"""Makes orders.csv, the same each time: a shop's export with the faults that such exports have."""

import csv
import io
import random
from datetime import date, timedelta
from pathlib import Path

COLUMNS = (
    "order_id",
    "ordered_on",
    "customer",
    "country",
    "product",
    "quantity",
    "unit_price",
    "shipped_on",
    "gift",
    "note",
)
CUSTOMERS = (
    "Ada Brix, Zoë Tan, Jürgen Köhl, Iñaki Ruiz, Mia Wong, Omar Said, Ewa Nowak, Bo Lind, 李娜"
)
COUNTRIES = ("DE", "DE", "DE", "FR", "FR", "PL", "ES", "SE", "de", "Germany")
PRODUCTS = {"Lamp": 39.9, "Desk": 249.0, "Chair, oak": 119.5, "Shelf": 74.25, 'Screen 27"': 219.0}
NOTES = ("", "", "", "", "call first", "leave at the door", "two floors,\nno lift")


def make_orders(rows: int = 480) -> str:
    draw = random.Random(20_240_229)  # noqa: S311  # sample data, and the same each time
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number in range(rows):
        row = _order(number, draw)
        _soil(number, row, draw)
        writer.writerow(row)
    return text.getvalue()


def _order(number: int, draw: random.Random) -> list[str]:
    ordered_on = date(2024, 1, 2) + timedelta(days=number * 3 // 4)
    product, price = draw.choice(list(PRODUCTS.items()))
    shipped = draw.random() < 0.9  # noqa: PLR2004  # the rest is not shipped yet
    return [
        f"{10_000 + number}",
        ordered_on.isoformat(),
        draw.choice(CUSTOMERS.split(", ")),
        draw.choice(COUNTRIES),
        product,
        str(draw.choice((1, 1, 1, 2, 2, 3, 4, 6))),
        f"{price * draw.choice((1, 1, 1, 0.9, 0.8)):.2f}",
        (ordered_on + timedelta(days=draw.randint(1, 9))).isoformat() if shipped else "",
        draw.choice(("no", "no", "no", "yes")),
        draw.choice(NOTES),
    ]


def _soil(number: int, row: list[str], draw: random.Random) -> None:
    """What people and programs do to an export."""
    price, quantity, ordered_on = (
        COLUMNS.index(each) for each in ("unit_price", "quantity", "ordered_on")
    )
    match number % 60:
        case 7:
            row[price] = row[price].replace(".", ",")
        case 19:
            row[quantity] = draw.choice(("n/a", "a dozen"))
        case 23:
            row[ordered_on] = "2024-02-30"
        case 31:
            row[price] = "-"
        case 41:
            row[COLUMNS.index("customer")] = f"  {row[COLUMNS.index('customer')].upper()} "
        case 53:
            del row[-1]  # a row that is cut off
        case _:
            pass


if __name__ == "__main__":
    place = Path(__file__).with_name("orders.csv")
    place.write_text(make_orders(), encoding="utf-8", newline="")
    print(f"wrote {place}")
