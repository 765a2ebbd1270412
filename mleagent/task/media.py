"""Images, audio and texts beside or instead of tables: who names them, and where they go.

Media are linked into the public folder, never copied or opened. Labels that
stand in their paths are read off once; whatever is held out gets a neutral
name, because `cat_0012.png` would tell the answer.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import InputError
from .discover import File, Found

_PLAIN_FOLDERS = {
    "train",
    "training",
    "images",
    "imgs",
    "data",
    "all",
    "files",
    "audio",
    "photos",
    "input",
    "",
}
_PLAIN_FOLDERS |= {"pictures", "texts", "text", "val", "valid", "validation", "media", "train_images"}
_PREFIX = re.compile(r"^([A-Za-z]+(?:[_\- ][A-Za-z]+)*)[._\- ]?\d+$")
_COPY_LIMIT = 2**31
"""Bytes copied at most where the data folder lies on another file system than the media."""


@dataclass(frozen=True)
class LabelledPaths:
    """Media whose labels stand in their paths, and the unlabelled ones of a `test` folder."""

    files: tuple[File, ...]
    labels: tuple[str, ...]
    test: tuple[File, ...]


@dataclass(frozen=True)
class Reference:
    """A table column that names media files."""

    column: str
    train: tuple[File | None, ...]
    """The file of each labelled row."""
    test: tuple[File | None, ...]
    by: str
    """`rel`, `name` or `stem`: how the column writes a file."""


def candidates(found: Found) -> list[File]:
    """Files that may be media: by suffix, and texts in folders of their own."""
    texts = [file for file in found.docs if file.parent and file.name.lower().endswith(".txt")]
    return sorted([*found.media, *texts], key=lambda file: file.rel)


def labelled_paths(found: Found) -> LabelledPaths | None:
    """Labels out of folder names (`train/cat/1.png`) or file names (`cat.1.jpg`); None without."""
    files = candidates(found)
    test = tuple(file for file in files if _in_test(file))
    train = [file for file in files if not _in_test(file)]
    for reader in (_folder_label, _name_label):
        labelled = [(file, label) for file in train if (label := reader(file))]
        counts = Counter(label for _, label in labelled)
        labelled = [(file, label) for file, label in labelled if counts[label] > 1]
        if len({label for _, label in labelled}) >= 2 and len(labelled) >= 0.9 * len(train):
            return LabelledPaths(tuple(f for f, _ in labelled), tuple(label for _, label in labelled), test)
    return None


def _in_test(file: File) -> bool:
    return any(part.lower() in ("test", "testing", "test_images") for part in file.parent.split("/"))


def _folder_label(file: File) -> str:
    folder = file.parent.rsplit("/", 1)[-1]
    return "" if folder.lower() in _PLAIN_FOLDERS else folder


def _name_label(file: File) -> str:
    match = _PREFIX.match(file.name.rsplit(".", 1)[0])
    return match[1] if match else ""


def ids_like(files: Sequence[File], sample_ids: Sequence[object]) -> list[str]:
    """Ids of test media the way the sample submission writes them: name, stem or path."""
    wanted = {str(value) for value in sample_ids}
    forms = (_stem_of, lambda file: file.name, lambda file: file.rel)
    for form in forms:
        ids = [form(file) for file in files]
        if wanted and set(ids) == wanted:
            return ids
    if wanted:
        raise InputError(
            "the sample submission's ids are not the test files' names; mend sample_submission.csv"
        )
    stems = [_stem_of(file) for file in files]
    return stems if len(set(stems)) == len(stems) else [file.rel for file in files]


def _stem_of(file: File) -> str:
    return file.name.rsplit(".", 1)[0]


def references(train: pd.DataFrame, test: pd.DataFrame | None, found: Found) -> list[Reference]:
    """The columns that name media files in at least nine of ten labelled rows."""
    files = candidates(found)
    if not files or not len(train):
        return []
    indexes = {
        "rel": _index(files, lambda file: file.rel),
        "name": _index(files, lambda file: file.name),
        "stem": _index(files, _stem_of),
    }
    result = []
    for column in train.columns:
        if test is not None and column not in test:
            continue  # it could not be followed for the user's own rows
        values = train[column].astype(str).str.removeprefix("./")
        for by, index in indexes.items():
            if sum(value in index for value in values) < 0.9 * len(values):
                continue
            asked_for = test[column] if test is not None and column in test else pd.Series(dtype=str)
            rows = asked_for.astype(str).str.removeprefix("./")
            named = tuple(_pick(index.get(value), "train") for value in values)
            asked = tuple(_pick(index.get(value), "test") for value in rows)
            result.append(Reference(str(column), named, asked, by))
            break
    return result


def _index(files: Sequence[File], key: Callable[[File], str]) -> dict[str, list[File]]:
    index: dict[str, list[File]] = defaultdict(list)
    for file in files:
        index[key(file)].append(file)
    return index


def _pick(files: list[File] | None, part: str) -> File | None:
    """Where several files bear the name, the one whose folder speaks of this part."""
    if not files:
        return None
    return next((file for file in files if part in file.parent.lower()), files[0])


def neutral_folder(reference: Reference, labelled: bool) -> str:
    """Folder of the public test media: the user's own test folder, else one like the train folder."""
    own = [file.parent for file in reference.test if file is not None]
    if own:
        return own[0]
    parents = sorted({file.parent for file in reference.train if file is not None})
    common = (
        os.path.commonpath(parents) if len(parents) > 1 and all(parents) else parents[0] if parents else ""
    )
    if len(parents) > 1 and reference.by == "rel":
        common = common if not labelled else common.split("/", 1)[0]
    parts = [part.replace("train", "test") for part in common.split("/") if part]
    return "/".join(parts) or "media"


def link(source: Path, target: Path) -> int:
    """Hard link `target` to `source`; a copy where they lie on different file systems. Bytes copied."""
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
    try:
        os.link(os.path.realpath(source) if source.is_symlink() else source, target)
        return 0
    except FileExistsError:
        return 0
    except OSError:
        size = source.stat().st_size
        if size > _COPY_LIMIT:
            raise InputError(
                f"{source}: too large to copy to another disk; set MLEAGENT_HOME to a folder beside the data"
            ) from None
        shutil.copyfile(source, target)
        return size
