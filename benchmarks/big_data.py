"""How long a large folder of images takes to be ready, and what disk it costs.

Makes a folder of media with labels in a table and calls `prepare` on it, as `solve` does first. By
default 100,000 files and 10 GB: small files of random bytes, each another, plus a few large *sparse*
ones that bring the apparent size to 10 GB (this machine need not have 10 GB to spare, and what is
never read need not be written). Disk is counted in allocated blocks, hard links once.

    python benchmarks/big_data.py [--files 100000] [--gb 10] [--keep DIR]
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path

SPARSE_FILES = 20
SMALL_BYTES = 2048


def make(folder: Path, files: int, gigabytes: float) -> None:
    """The folder: `images/NNNN/N.png`, train.csv and sample_submission.csv naming them."""
    chance = random.Random(0)
    test = files // 10
    for start in range(0, files, 1000):
        (folder / "images" / f"{start // 1000:04d}").mkdir(parents=True, exist_ok=True)
    names = [f"images/{number // 1000:04d}/{number}.png" for number in range(files)]
    for name in names:
        (folder / name).write_bytes(chance.randbytes(SMALL_BYTES))
    rest = max(0, int(gigabytes * 2**30) - files * SMALL_BYTES)
    for name in chance.sample(names, min(SPARSE_FILES, files)):
        os.truncate(folder / name, SMALL_BYTES + rest // SPARSE_FILES)
    rows = [f"{name},{chance.randrange(5)}" for name in names[test:]]
    (folder / "train.csv").write_text("image,label\n" + "\n".join(rows) + "\n")
    (folder / "test.csv").write_text("image\n" + "\n".join(names[:test]) + "\n")
    (folder / "sample_submission.csv").write_text("image,label\n" + "".join(f"{n},0\n" for n in names[:test]))
    (folder / "mleagent.toml").write_text('[task]\ntarget = ["label"]\nmetric = "accuracy"\n')


def allocated(folder: Path) -> tuple[int, int, int]:
    """(bytes allocated, apparent bytes, files) below a folder; hard links count their disk once."""
    seen: set[tuple[int, int]] = set()
    disk = size = count = 0
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            stat = os.lstat(os.path.join(place, name))
            is_new = (stat.st_dev, stat.st_ino) not in seen
            seen.add((stat.st_dev, stat.st_ino))
            disk += stat.st_blocks * 512 if is_new else 0
            if name in names:
                size += stat.st_size
                count += 1
    return disk, size, count


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--gb", type=float, default=10.0)
    parser.add_argument("--keep", type=Path, help="work here and leave it")
    asked = parser.parse_args()
    root = asked.keep or Path(tempfile.mkdtemp(prefix="mleagent-big-"))
    os.environ["MLEAGENT_HOME"] = str(root / "home")
    try:
        measure(root, asked.files, asked.gb)
    finally:
        if not asked.keep:
            shutil.rmtree(root)


def measure(root: Path, files: int, gigabytes: float) -> None:
    """Make, prepare, prepare again; lines with what it took."""
    folder, home = root / "big", root / "home"
    began = time.monotonic()
    make(folder, files, gigabytes)
    before, size, count = allocated(folder)
    machine = f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    made = f"made {count:,} files, {size / 1e9:.1f} GB apparent, {before / 1e6:.0f} MB allocated"
    print(f"{made}, in {time.monotonic() - began:.0f} s")

    from mleagent.task.options import load
    from mleagent.task.prepare import prepare

    began = time.monotonic()
    task = prepare(folder, load(folder), home)
    first = time.monotonic() - began
    began = time.monotonic()
    prepare(folder, load(folder), home)
    again = time.monotonic() - began
    extra = (allocated(root)[0] - before) / 1e6
    _, shown, public = allocated(task.public)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = f"ready in {first:.1f} s (again: {again:.1f} s)"
    print(f"{took}; extra disk {extra:.0f} MB; peak memory {peak:.0f} MB")
    held = task.rows_feedback + task.rows_sealed
    rows = f"{task.rows_train:,} train rows, {held:,} held out"
    print(f"public: {public:,} files, {shown / 1e9:.1f} GB apparent; {rows}")
    assert task.kind == "media" and public >= files
    print(f"ready in 60 s: {_met(first <= 60)}; under 200 MB extra disk: {_met(extra < 200)}")


def _met(aim: bool) -> str:
    return "met" if aim else "MISSED"


if __name__ == "__main__":
    main()
