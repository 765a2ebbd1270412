"""No held-out label can be reached from inside, on any sandbox, on clean folders and on a dirty one.

Every label is a number that occurs nowhere else in the world. A real session runs a program that
reads every file it can open (unpacking zip, gzip, zlib, npy and pickles) and writes down each such
number it sees; none may be a held-out row's. That it sees the train rows' shows that it looks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import random
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mleagent.agent.finish import finish
from mleagent.agent.start import new_session
from mleagent.agent.wish import Wish
from mleagent.config import load_settings
from mleagent.policy.scripted import ScriptedPolicy

SEARCH = r"""Plan: look everywhere
<write path="solution.py">
import csv, gzip, io, json, os, re, shutil, struct, sys, zipfile, zlib
CANARY = re.compile(rb"7\d{3}\.\d{4,9}")
found, files = set(), 0

def doubles(data):
    for shift in range(0, 8):
        body = data[shift:len(data) - (len(data) - shift) % 8]
        for (value,) in struct.iter_unpack("<d", body):
            if 7000 <= value < 8000:
                found.add(f"{value:.6f}")

def search(data, depth=0):
    for text in CANARY.findall(data):
        found.add(f"{float(text):.6f}")
    if len(data) < 300_000:
        doubles(data)
    if depth < 3:
        for unpack in (gzip.decompress, zlib.decompress):
            try:
                search(unpack(data), depth + 1)
            except Exception:
                pass
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as inner:
                for name in inner.namelist():
                    search(name.encode(), depth + 1)
                    search(inner.read(name), depth + 1)
        except Exception:
            pass

SKIP = ("/proc", "/sys", "/usr", "/lib", "/opt", "/bin", sys.prefix, sys.base_prefix)
for top, dirs, names in os.walk("/", followlinks=False):
    if top.startswith(SKIP) and not top.startswith("/opt/mleagent"):
        dirs[:] = []
        continue
    search(top.encode())
    for name in names:
        path = os.path.join(top, name)
        search(path.encode())
        try:
            if os.path.isfile(path) and os.path.getsize(path) < 20_000_000:
                with open(path, "rb") as file:
                    search(file.read())
                files += 1
        except OSError:
            pass
for path in ("/proc/1/environ", "/proc/self/environ", "/proc/1/cmdline", "/proc/mounts"):
    try:
        search(open(path, "rb").read())
    except OSError:
        pass
found.discard("")
json.dump({"found": sorted(found), "files": files}, open("found.json", "w"))
shutil.copy("/kaggle/input/canary/sample_submission.csv", "submission.csv")
</write>"""


def rows(count: int, seed: int) -> list[tuple[int, float, str]]:
    """id, feature, label; every label is its own canary."""
    chance = random.Random(seed)
    return [
        (i, round(chance.gauss(0, 1), 4), f"{7000 + i}.{chance.randrange(10**5, 10**6)}")
        for i in range(count)
    ]


def write_table(path: Path, header: str, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")


def clean_folder(folder: Path) -> list[tuple[int, float, str]]:
    """train, test, sample."""
    data = rows(400, 1)
    write_table(folder / "train.csv", "id,x,y", [f"{i},{x},{y}" for i, x, y in data])
    write_table(folder / "test.csv", "id,x", [f"{1000 + i},{i / 50}" for i in range(50)])
    write_table(folder / "sample_submission.csv", "id,y", [f"{1000 + i},0" for i in range(50)])
    (folder / "description.md").write_text("Predict y. Submissions are evaluated on RMSE.\n")
    return data


def dirty_folder(folder: Path) -> list[tuple[int, float, str]]:
    """A folder as it lies about after a week of work."""
    data = clean_folder(folder)
    labels = np.array([float(y) for _, _, y in data])
    write_table(folder / "old_submission.csv", "id,y", [f"{i},{y}" for i, _, y in data])
    np.save(folder / "oof.npy", labels)
    np.savez_compressed(folder / "oof_folds.npz", oof=labels)
    (folder / "model.pkl").write_bytes(pickle.dumps({"targets": labels.tolist()}))
    (folder / "checkpoint.ckpt").write_bytes(labels.tobytes())
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "train.csv", "train.csv")
    (folder / "train_backup.csv.gz").write_bytes(gzip.compress((folder / "train.csv").read_bytes()))
    write_table(folder / "side_table.csv", "id,price", [f"{i},{y}" for i, _, y in data])
    output = {"output_type": "stream", "name": "stdout", "text": [y for _, _, y in data]}
    cell = {
        "cell_type": "code",
        "source": ["train"],
        "metadata": {},
        "execution_count": 1,
        "outputs": [output],
    }
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notes.ipynb").write_text(json.dumps(notebook))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "train.csv"], cwd=folder, check=True)
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "data"], cwd=folder, check=True
    )
    return data


def image_folder(folder: Path) -> list[tuple[int, float, str]]:
    """Images whose file names carry the label."""
    data = rows(200, 2)
    (folder / "img").mkdir(parents=True)
    for i, x, y in data:
        Image.new("L", (4, 4), int(abs(x) * 50) % 255).save(folder / "img" / f"{i}_{y}.png")
    for i in range(30):
        Image.new("L", (4, 4), i).save(folder / "img" / f"t{i}.png")
    write_table(folder / "train.csv", "id,image,y", [f"{i},img/{i}_{y}.png,{y}" for i, _, y in data])
    write_table(folder / "test.csv", "id,image", [f"{1000 + i},img/t{i}.png" for i in range(30)])
    write_table(folder / "sample_submission.csv", "id,y", [f"{1000 + i},0" for i in range(30)])
    return data


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("make", [clean_folder, dirty_folder, image_folder])
@pytest.mark.parametrize("sandbox", ["docker", "bubblewrap", "namespaces"])
def test_no_held_out_label_can_be_found(home, tmp_path, any_sandbox, sandbox, make):
    any_sandbox(sandbox)
    folder = tmp_path / "canary"
    data = make(folder)
    before = digest(folder)
    settings = load_settings(model="playbook", sandbox=sandbox, steps=3)
    solver = new_session(Wish(folder, settings))
    solver.parts.policy = ScriptedPolicy([SEARCH, "<submit/>"])
    try:
        end = solver.run(finish)
        report = json.loads((solver.parts.executor.workspace.read("found.json") or b"{}").decode())
    finally:
        solver.parts.close()
    assert end.status == "done", solver.steps[0].observation
    task = solver.session.task
    answers = pq.read_table(task.private / "answers.parquet").to_pylist()
    held_out = {f"{row['y']:.6f}" for row in answers if row["__part__"] in ("feedback", "sealed")}
    everything = {f"{float(y):.6f}" for _, _, y in data}
    found = set(report["found"])
    assert len(held_out) == task.rows_feedback + task.rows_sealed
    assert found >= everything - held_out, "the search did not even find the train labels"
    assert not found & held_out
    assert digest(folder) == before
