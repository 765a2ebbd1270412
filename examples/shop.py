"""The orders of a shop that never was, with the mess of real life; data for `messy-shop`.

`orders(seed)` gives train rows, test rows and the test rows' labels. Whether an order is
sent back follows a logistic model of product, customer, sizes, delivery, season and what
the customer wrote, so there is signal in every kind of column and no column gives it away
but `refund_eur`, which is known only afterwards and exists in the train table alone.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

COLUMNS = [
    *("order_id", "ordered_at", "customer_id", "customer_since", "customer_age", "postcode", "product_code"),
    *("category", "size", "quantity", "price", "discount_pct", "payment", "device", "gift_wrap"),
    *("delivery_days", "loyalty_points", "shop_version", "note"),
]
CATEGORIES = {  # base effect, price level, sizes
    "dresses": (0.9, 60, ["XS", "S", "M", "L", "XL"]),
    "shoes": (0.7, 85, [str(n) for n in range(36, 46)]),
    "shirts": (0.0, 35, ["S", "M", "L", "XL", "XXL"]),
    "home": (-0.9, 45, [""]),
    "toys": (-0.8, 25, [""]),
    "electronics": (-0.2, 140, [""]),
}
NOTES = [  # effect, weight, texts
    (0.0, 60, [""]),
    (
        1.3,
        7,
        ["two sizes to try on, will send one back", "ordering both sizes, not sure which fits", "trying on"],
    ),
    (0.8, 6, ["unsure about the colour", "does the colour match the picture?", "hope it fits this time"]),
    (-0.9, 8, ["birthday present for my {who}", "a present, please wrap", "gift for my {who}, thank you"]),
    (-0.7, 7, ["second one, love it", "bought this before, great quality", "my {who} has the same, so good"]),
    (0.1, 8, ["please leave with the neighbour", "ring twice", "doorbell is broken, call me"]),
    (
        0.5,
        4,
        [
            "needed before friday!!",
            "must arrive before the weekend",
            "is it really in stock? last one was late",
        ],
    ),
]


def _pick(rng: random.Random, weighted: list[tuple[object, float]]) -> object:
    return rng.choices([item for item, _ in weighted], [weight for _, weight in weighted])[0]


def _price(rng: random.Random, value: float) -> str:
    """Mostly `39.90`; some systems of the shop write `EUR 39,90`."""
    plain = f"{value:.2f}"
    return "EUR " + plain.replace(".", ",") if rng.random() < 0.12 else plain


def _date(rng: random.Random, when: datetime) -> str:
    chance = rng.random()
    if chance < 0.02:
        return ""
    return when.strftime("%d.%m.%Y %H:%M") if chance < 0.25 else when.strftime("%Y-%m-%d %H:%M:%S")


def _products(rng: random.Random) -> list[tuple[str, str, float, float]]:
    """Code, category, price, effect of 300 products; some of them are bad."""
    products = []
    for number in range(300):
        category = rng.choice(list(CATEGORIES))
        price = CATEGORIES[category][1] * math.exp(rng.gauss(0, 0.4))
        products.append((f"{category[:2].upper()}-{number:04d}", category, price, rng.gauss(0, 0.9)))
    return products


def _note(rng: random.Random) -> tuple[float, str]:
    effect, texts = _pick(rng, [((effect, texts), weight) for effect, weight, texts in NOTES])
    text = rng.choice(texts).replace("{who}", rng.choice(["sister", "mum", "son", "friend", "wife", "dad"]))
    return effect, text.upper() if text and rng.random() < 0.08 else text


def _order(
    rng: random.Random, customer: dict, product: tuple[str, str, float, float]
) -> tuple[list, int, str]:
    """One order: its cells after the id, its label, and the refund."""
    code, category, price, effect = product
    base, _, sizes = CATEGORIES[category]
    when = datetime(2023, 1, 1) + timedelta(minutes=rng.randrange(60 * 24 * 540))
    quantity = rng.choice([1, 1, 1, 1, 2, 2, 3])
    discount = rng.choice([0, 0, 0, 10, 20, 30, 50])
    payment = str(_pick(rng, [("card", 5), ("invoice", 3), ("paypal", 4), ("voucher", 1)]))
    delivery = max(1, round(rng.gauss(4, 2.2)))
    wrapped = rng.random() < (0.35 if when.month == 12 else 0.1)
    note_effect, note = _note(rng)
    logit = -1.7 + base + effect + customer["effect"] + note_effect
    logit += {"invoice": 0.9, "voucher": -0.5}.get(payment, 0.0) + 0.16 * (delivery - 4) - 1.2 * wrapped
    logit += 0.35 * (quantity - 1) + 0.008 * (price - 60) - 0.012 * discount + (0.5 if when.month == 1 else 0)
    returned = int(rng.random() < 1 / (1 + math.exp(-logit)))
    cells = [
        _date(rng, when),
        customer["id"],
        customer["since"],
        rng.choice(["", "", 999]) if rng.random() < 0.3 else customer["age"],
        customer["postcode"],
        code,
        category.title() if rng.random() < 0.1 else category,
        rng.choice(sizes),
        f"{quantity} pcs" if rng.random() < 0.07 else quantity,
        _price(rng, price),
        "" if discount == 0 and rng.random() < 0.6 else discount,
        payment,
        rng.choice(customer["devices"]),
        rng.choice(["yes", "Y", "1", "true"]) if wrapped else rng.choice(["no", "N", "0", ""]),
        "" if rng.random() < 0.15 else delivery,
        customer["points"] + rng.randrange(50),
        "v4",
        note,
    ]
    refund = f"{price * quantity * (1 - discount / 100):.2f}" if returned else "0.00"
    return cells, returned, "" if rng.random() < 0.05 else refund


def _customer(rng: random.Random, number: int) -> dict:
    since = datetime(2015, 1, 1) + timedelta(days=rng.randrange(2900))
    return {
        "id": f"C{number:05d}",
        "since": since.strftime("%Y-%m"),
        "age": rng.randrange(18, 80),
        "postcode": f"{rng.randrange(1000, 99999):05d}",
        "points": int(rng.expovariate(1 / 400)),
        "devices": rng.sample(["ios", "android", "desktop", "Desktop ", "tablet"], 2),
        "effect": rng.gauss(0, 1.0),
    }


def orders(seed: int) -> tuple[list[list], list[list], dict[str, str]]:
    """Train rows, test rows, labels by order id. No customer is in both tables."""
    rng = random.Random(seed)
    products = _products(rng)
    numbers = rng.sample(range(100000), 720)
    rows = []
    for number in numbers:
        customer = _customer(rng, number)
        for _ in range(1 + min(14, int(rng.expovariate(1 / 4)))):
            rows.append((customer["id"], *_order(rng, customer, rng.choice(products))))
    rng.shuffle(rows)
    ids = [f"O-{n}" for n in rng.sample(range(100000, 1000000), len(rows))]
    test_customers = {f"C{number:05d}" for number in numbers[-140:]}
    train, test, answers = [], [], {}
    for order, (customer, cells, returned, refund) in zip(ids, rows, strict=True):
        if customer in test_customers:
            test.append([order, *cells])
            answers[order] = str(returned)
        else:
            train.append([order, *cells, refund, returned])
    return train, test, answers
