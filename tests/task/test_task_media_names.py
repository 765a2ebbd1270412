"""Columns whose values look like file names but name no input: labels `3` beside `3.png`."""

from __future__ import annotations

from pathlib import Path

from mleagent.task.options import load
from mleagent.task.prepare import prepare


def test_labels_that_look_like_file_names_are_no_references(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    (folder / "images").mkdir(parents=True)
    names = [f"images/{number}.png" for number in range(120)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(bytes([number]) * 20)
    rows = [f"{name},{number % 3},{number % 2}" for number, name in enumerate(names[:100])]
    (folder / "train.csv").write_text("image,label,only_here\n" + "\n".join(rows) + "\n")
    (folder / "test.csv").write_text("image\n" + "\n".join(names[100:]) + "\n")
    (folder / "sample_submission.csv").write_text("image,label\n" + "".join(f"{n},0\n" for n in names[100:]))
    (folder / "mleagent.toml").write_text('[task]\ntarget = ["label"]\nmetric = "accuracy"\n')
    task = prepare(folder, load(folder), tmp_path / "home")
    assert task.kind == "media" and task.rows_test == 20
    first, *lines = (task.public / "train.csv").read_text().splitlines()
    assert first.startswith("image,label")
    for line in lines:
        image, label = line.split(",")[:2]
        assert int(Path(image).stem) % 3 == int(label), "labels are as they were"
        assert (task.public / image).is_file()
