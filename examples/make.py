"""Makes the data of the example folders, byte for byte the same each time.

    python examples/make.py [--out DIR]

Reads what scikit-learn ships (no download), writes train, test and sample-submission
tables and images; descriptions, settings and scripts are written by hand and stay as they
are. The labels of test rows are drawn here and written nowhere. Order and ids come from
Python's own `random` with a fixed seed, so numpy's version does not matter.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sklearn import datasets

import shop

HERE = Path(__file__).resolve().parent
Row = Sequence[object]


@dataclass(frozen=True)
class Made:
    """One example's files, and the labels that no file may hold."""

    files: dict[str, bytes]
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Id of each test row and its labels."""


def table(header: Sequence[str], rows: Sequence[Row]) -> bytes:
    """A CSV file with Unix line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def number(value: float) -> str:
    """The shortest text of a number, `12` rather than `12.0`."""
    return repr(round(float(value), 6)).removesuffix(".0")


def snake(name: str) -> str:
    """`mean fractal dimension` as a column name."""
    return name.replace(" ", "_").replace("/", "_").lower()


def competition(
    features: Sequence[str],
    targets: Sequence[str],
    rows: Sequence[tuple[Row, Row]],
    test_rows: int,
    sample: tuple[Sequence[str], Row],
    seed: int,
) -> Made:
    """Shuffle (features, labels) rows, number them, and cut off the test rows.

    `sample` is the header of a submission after `id`, and its constant row.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    numbered = [(str(1000 + i), *rows[j]) for i, j in enumerate(order)]
    train, test = numbered[:-test_rows], numbered[-test_rows:]
    random.Random(seed + 1).shuffle(test)
    files = {
        "train.csv": table(["id", *features, *targets], [(i, *x, *y) for i, x, y in train]),
        "test.csv": table(["id", *features], [(i, *x) for i, x, _ in test]),
        "sample_submission.csv": table(["id", *sample[0]], [(i, *sample[1]) for i, _, _ in test]),
    }
    return Made(files, {i: tuple(map(str, y)) for i, _, y in test})


def breast_cancer() -> Made:
    """Binary, probabilities, area under the ROC curve."""
    data = datasets.load_breast_cancer()
    rows = [([number(v) for v in x], [1 - int(y)]) for x, y in zip(data.data, data.target, strict=True)]
    names = [snake(n) for n in data.feature_names]
    return competition(names, ["malignant"], rows, 114, (["malignant"], [0.5]), seed=11)


def wine() -> Made:
    """Three classes, a probability column each, log loss."""
    data = datasets.load_wine()
    classes = ["barolo", "grignolino", "barbera"]
    rows = [([number(v) for v in x], [classes[y]]) for x, y in zip(data.data, data.target, strict=True)]
    names = [snake(n) for n in data.feature_names]
    return competition(names, ["cultivar"], rows, 36, (classes, [0.333333] * 3), seed=12)


def diabetes() -> Made:
    """Regression, root mean squared error."""
    data = datasets.load_diabetes(scaled=False)
    rows = [([number(v) for v in x], [number(y)]) for x, y in zip(data.data, data.target, strict=True)]
    names = ["age", "sex", "bmi", "blood_pressure", "tc", "ldl", "hdl", "tch", "ltg", "glu"]
    return competition(names, ["progression"], rows, 92, (["progression"], [150]), seed=13)


def blood_panel() -> Made:
    """Several targets: three blood values from the others, mean column-wise RMSE."""
    data = datasets.load_diabetes(scaled=False)
    names = ["age", "sex", "bmi", "blood_pressure", "tc", "ldl", "hdl", "tch", "ltg", "glu"]
    targets = ["ldl", "tch", "ltg"]
    known = [n for n in names if n not in targets]
    rows = []
    for x in data.data:
        value = dict(zip(names, x, strict=True))
        rows.append(([number(value[n]) for n in known], [number(value[n]) for n in targets]))
    return competition(known, targets, rows, 92, (targets, [110, 4, 4.5]), seed=14)


def digits() -> Made:
    """Images as a table of 64 pixel columns, ten classes, accuracy."""
    data = datasets.load_digits()
    rows = [([int(v) for v in x], [int(y)]) for x, y in zip(data.data, data.target, strict=True)]
    names = [f"pixel_{r}_{c}" for r in range(8) for c in range(8)]
    return competition(names, ["digit"], rows, 360, (["digit"], [0]), seed=15)


def png(pixels: Sequence[Sequence[int]]) -> bytes:
    """An 8-bit grey PNG, stored uncompressed: its bytes depend on no library's version."""
    raw = b"".join(b"\0" + bytes(row) for row in pixels)
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(raw), len(raw) ^ 0xFFFF) + raw
    stored += struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 0, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", stored), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out


def digits_images() -> Made:
    """Image files with labels in a table, macro F1. Each pixel of 8 x 8 becomes 2 x 2."""
    data = datasets.load_digits()
    chosen = random.Random(16).sample(range(len(data.target)), 600)
    order = list(range(600))
    random.Random(17).shuffle(order)
    images, rows = {}, []
    for name, index in zip(order, chosen, strict=True):
        path = f"images/{name:04d}.png"
        grid = [[int(v) * 15 for v in row for _ in (0, 1)] for row in data.images[index] for _ in (0, 1)]
        images[path] = png(grid)
        rows.append(([path], [int(data.target[index])]))
    made = competition(["image"], ["digit"], rows, 150, (["digit"], [0]), seed=18)
    return Made({**made.files, **images}, made.answers)


def messy_shop() -> Made:
    """Made, not real: a shop's orders with the mess of real life (see shop.py)."""
    train, test, answers = shop.orders(seed=19)
    header, test_header = [*shop.COLUMNS, "refund_eur", "returned"], shop.COLUMNS
    files = {
        "train.csv": table(header, train),
        "test.csv": table(test_header, test),
        "sample_submission.csv": table(["order_id", "returned"], [(row[0], 0.5) for row in test]),
    }
    return Made(files, {order: (label,) for order, label in answers.items()})


def own_script() -> Made:
    """A project of one's own: digits averaged down to 4 x 4 pixels, split for train.py and eval.py."""
    data = datasets.load_digits()
    chosen = random.Random(20).sample(range(len(data.target)), 1000)
    names = [f"p{i:02d}" for i in range(16)]
    rows = []
    for number_, index in enumerate(chosen):
        image = data.images[index].reshape(4, 2, 4, 2).mean(axis=(1, 3)).ravel()
        rows.append((number_, *(number(v) for v in image), int(data.target[index])))
    header = ["row", *names, "digit"]
    return Made({"data/train.csv": table(header, rows[:700]), "data/valid.csv": table(header, rows[700:])})


EXAMPLES: dict[str, Callable[[], Made]] = {
    "breast-cancer": breast_cancer,
    "wine": wine,
    "diabetes": diabetes,
    "blood-panel": blood_panel,
    "digits": digits,
    "digits-images": digits_images,
    "messy-shop": messy_shop,
    "own-script": own_script,
}


def write(out: Path) -> None:
    """Write every example's data under `out`."""
    for name, make in EXAMPLES.items():
        made = make()
        for path, content in made.files.items():
            target = out / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        print(f"{name}: {len(made.files)} files, {sum(map(len, made.files.values())) / 1e3:.0f} kB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=HERE, help="where the folders go; default: beside this file"
    )
    write(parser.parse_args().out)
