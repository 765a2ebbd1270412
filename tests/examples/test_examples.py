"""The example folders are what make.py makes, and hold no test label in any form."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import kruskal

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HAND_WRITTEN = {"description.md", "README.md", "mleagent.toml", "train.py", "eval.py"}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(EXAMPLES))
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    return module


MAKE = load("make")
MADE = {name: make() for name, make in MAKE.EXAMPLES.items()}
TABLES = [name for name, made in MADE.items() if made.answers]


def rows_of(name: str, file: str) -> list[dict[str, str]]:
    with (EXAMPLES / name / file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def committed(name: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", name], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return {path.removeprefix(f"{name}/") for path in listed.stdout.split("\0") if path}
    return {p.relative_to(EXAMPLES / name).as_posix() for p in (EXAMPLES / name).rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", MADE)
def test_make_reproduces_every_byte_and_nothing_else_lies_there(name: str) -> None:
    for path, content in MADE[name].files.items():
        assert (EXAMPLES / name / path).read_bytes() == content, path
    assert committed(name) - HAND_WRITTEN == set(MADE[name].files)


def test_all_of_it_is_small() -> None:
    assert sum(len(content) for made in MADE.values() for content in made.files.values()) < 3_000_000


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_fit_together(name: str) -> None:
    train, test = rows_of(name, "train.csv"), rows_of(name, "test.csv")
    sample = rows_of(name, "sample_submission.csv")
    key = next(iter(test[0]))
    ids = [row[key] for row in test]
    assert [row[key] for row in sample] == ids
    assert len(set(ids) | {row[key] for row in train}) == len(train) + len(test)
    assert set(MADE[name].answers) == set(ids)
    assert set(test[0]) < set(train[0])
    text = (EXAMPLES / name / "description.md").read_text(encoding="utf-8")
    assert "## Evaluation" in text
    assert f"{len(train)} " in text and f"{len(test)} " in text


@pytest.mark.parametrize("name", TABLES)
def test_no_test_label_lies_in_any_file(name: str) -> None:
    """Test rows are mentioned in test.csv and the constant sample submission only, without labels."""
    train, test = rows_of(name, "train.csv"), rows_of(name, "test.csv")
    sample = rows_of(name, "sample_submission.csv")
    key = next(iter(test[0]))
    hidden = set(train[0]) - set(test[0])
    assert hidden and not hidden & set(test[0])
    assert len({tuple(row[c] for c in row if c != key) for row in sample}) == 1
    features = [c for c in test[0] if c != key]
    known = {tuple(row[c] for c in features) for row in train}
    assert not [row[key] for row in test if tuple(row[c] for c in features) in known]
    ids = {row[key] for row in test}
    for path in (EXAMPLES / name).rglob("*"):
        if (
            path.is_file()
            and path.name not in ("test.csv", "sample_submission.csv")
            and path.suffix != ".png"
        ):
            lines = path.read_text(encoding="utf-8").splitlines()
            told = [line for line in lines if line.split(",")[0] in ids]
            # A description may show the sample submission's first lines.
            assert all(line.split(",")[1:] == list(sample[0].values())[1:] for line in told), path


@pytest.mark.parametrize("name", TABLES)
def test_neither_order_nor_id_nor_file_name_tells_a_label(name: str) -> None:
    test = rows_of(name, "test.csv")
    key = next(iter(test[0]))
    labels = np.array([MADE[name].answers[row[key]][0] for row in test])
    number = np.array([int("".join(filter(str.isdigit, row[key]))) for row in test])
    orders = {"row": np.arange(len(test)), "id": number}
    if "image" in test[0]:
        orders["file"] = np.array([int(Path(row["image"]).stem) for row in test])
    values = (
        labels
        if len(set(labels)) <= 10
        else np.digitize(labels.astype(float), [np.median(labels.astype(float))])
    )
    for what, order in orders.items():
        groups = [order[values == value] for value in np.unique(values)]
        assert kruskal(*groups).pvalue > 1e-3, what


def test_images_are_what_other_programs_read() -> None:
    from PIL import Image

    images = {row["image"] for file in ("train.csv", "test.csv") for row in rows_of("digits-images", file)}
    assert images == {path for path in MADE["digits-images"].files if path.endswith(".png")}
    with Image.open(EXAMPLES / "digits-images" / min(images)) as image:
        assert (image.size, image.mode) == ((16, 16), "L")
        assert 0 < np.asarray(image).mean() < 240


def test_the_shop_has_its_mess() -> None:
    train, test = rows_of("messy-shop", "train.csv"), rows_of("messy-shop", "test.csv")
    assert not {row["customer_id"] for row in train} & {row["customer_id"] for row in test}
    assert 0.2 < np.mean([row["returned"] == "1" for row in train]) < 0.4
    assert any("EUR" in row["price"] for row in test) and any("." in row["ordered_at"] for row in test)
    paid_back = [row["refund_eur"] not in ("", "0.00") for row in train]
    known = [row["refund_eur"] != "" for row in train]
    returned = [row["returned"] == "1" for row in train]
    assert all(a == b for a, b, k in zip(paid_back, returned, known, strict=True) if k)


def test_the_own_script_project_runs_and_its_hand_written_solution_is_better(tmp_path: Path) -> None:
    scores = []
    for script in (EXAMPLES / "own-script" / "train.py", EXAMPLES / "baselines" / "own-script.py"):
        folder = tmp_path / script.parent.name
        shutil.copytree(EXAMPLES / "own-script", folder)
        shutil.copy(script, folder / "train.py")
        subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, timeout=120)
        out = subprocess.run(
            [sys.executable, "eval.py"], cwd=folder, check=True, timeout=120, capture_output=True, text=True
        )
        assert out.stdout.startswith("accuracy: ")
        scores.append(float(out.stdout.split()[-1]))
    assert 0.5 < scores[0] < scores[1] - 0.1


def test_the_table_in_the_readme_is_the_measured_one() -> None:
    baselines = load("baselines")
    results = json.loads(baselines.RESULTS.read_text(encoding="utf-8"))
    assert set(results) == set(MADE) == set(baselines.METRICS)
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert baselines.table(results, baselines.METRICS) in readme
    assert all(columns["strong"].get("utility", 1) > 0.25 for columns in results.values())
