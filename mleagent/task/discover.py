"""What lies in the user's folder, by name and place only.

Walks the folder without writing or opening data, and sorts files into roles:
train, labels, test, sample submission, description, code, media, other tables,
the rest. What is inside the tables is decided later, in `sources`. Hidden
folders, environments and caches are never entered.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..config import user_path
from ..errors import InputError
from ..records import Withheld
from .names import is_code, is_media, is_table, is_text, stem
from .options import OPTIONS_FILE

_SKIPPED_FOLDERS = {
    **dict.fromkeys(("venv", "env", "virtualenv", "node_modules", "site-packages"), "installed packages"),
    **dict.fromkeys(("__pycache__", "build", "dist"), "build products"),
    **dict.fromkeys(
        ("wandb", "mlruns", "lightning_logs", "catboost_info", "tensorboard", "AutogluonModels"),
        "logs and models of earlier runs can hold predictions of held-out rows",
    ),
}
_SAMPLE = re.compile(r"(sample|example|gender|dummy)[_\- ]?sub|submission[_\- ]?(format|sample|example)")
_PREDICTED = re.compile(
    r"(^|[_\-. ])(oof|preds?|predictions?|blend|stack|submissions?|sub\d*|probas?|folds?)([_\-. \d]|$)"
)
_LABELS = re.compile(r"^(y[_\-]?train(ing)?|(train(ing)?[_\-]?)?(labels?|targets?|y|answers?))$")
_TRAIN = re.compile(r"^(x[_\-])?train(ing)?([_\-. \d]|set|data|$)|[_\-. ](x[_\-])?train(ing)?$")
_TEST = re.compile(r"^(x[_\-])?test(ing)?([_\-. \d]|set|data|$)|[_\-. ](x[_\-])?test(ing)?$")
_DESCRIPTIONS = (
    "description",
    "overview",
    "readme",
    "agents",
    "data_description",
    "task",
    "problem",
    "evaluation",
)


@dataclass(frozen=True)
class File:
    """A regular file of the user's."""

    rel: str
    path: Path
    bytes: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.rel.rsplit("/", 1)[-1]

    @property
    def parent(self) -> str:
        """The folder's path, empty at the top."""
        return self.rel.rpartition("/")[0]


@dataclass(frozen=True)
class Found:
    """Everything in the folder, sorted by name. Paths are relative to `base`."""

    folder: Path
    base: Path
    """Where the data lie: the folder, or `prepared/public` of an MLE-bench layout."""
    train: tuple[File, ...] = ()
    labels: tuple[File, ...] = ()
    test: tuple[File, ...] = ()
    sample: tuple[File, ...] = ()
    tables: tuple[File, ...] = ()
    """Tables with no role by name."""
    docs: tuple[File, ...] = ()
    code: tuple[File, ...] = ()
    media: tuple[File, ...] = ()
    other: tuple[File, ...] = ()
    skipped: tuple[Withheld, ...] = ()

    @property
    def all_tables(self) -> tuple[File, ...]:
        """Every table, whatever its role."""
        return self.train + self.labels + self.test + self.sample + self.tables

    @property
    def files(self) -> tuple[File, ...]:
        """Every file that was looked at."""
        return self.all_tables + self.docs + self.code + self.media + self.other


@dataclass
class _Walk:
    base: Path
    files: list[File] = field(default_factory=list)
    skipped: list[Withheld] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


def discover(folder: Path) -> Found:
    """Look at `folder`. Raises InputError when it is missing, no folder, unreadable or empty."""
    folder = user_path(folder).absolute()
    if not os.path.exists(folder):
        raise InputError(f"{folder}: no such folder; check the path")
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: not a folder; give the folder that holds train.csv")
    public = folder / "prepared" / "public"
    # os.path.isdir, unlike Path.is_dir, says no instead of raising where permission lacks.
    walk = _Walk(public if os.path.isdir(public) else folder)
    if walk.base != folder:
        walk.skipped.append(Withheld(path="prepared/private", reason="the competition's own answers"))
    _scan(walk.base, "", walk)
    if not walk.files and not walk.skipped:
        raise InputError(f"{folder}: the folder is empty; put train.csv (and test.csv) there")
    if walk.base != folder:
        walk.files.extend(_outer_docs(folder, {file.rel for file in walk.files}))
    return _sorted_roles(folder, walk)


def _scan(directory: Path, prefix: str, walk: _Walk) -> None:
    real = os.path.realpath(directory)
    if real in walk.seen:
        return
    walk.seen.add(real)
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except PermissionError:
        raise InputError(f"{directory}: no permission to read the folder; check its mode") from None
    for entry in entries:
        rel = prefix + entry.name
        reason = _skip_reason(entry, walk.base)
        if reason:
            walk.skipped.append(Withheld(path=rel, reason=reason))
        elif entry.is_dir():
            _scan(Path(entry.path), rel + "/", walk)
        elif rel != OPTIONS_FILE:
            info = entry.stat()
            walk.files.append(File(rel, Path(entry.path), info.st_size, info.st_mtime_ns))


def _skip_reason(entry: os.DirEntry[str], base: Path) -> str:
    """Why an entry is not even looked at; empty if it is."""
    name = entry.name
    if name == ".git":
        return "git history can hold earlier data and labels"
    if name.startswith("."):
        return "hidden"
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "a link that leads nowhere"
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))
        inside = target.relative_to(base.resolve()) if target.is_relative_to(base.resolve()) else Path()
        if any(part.startswith(".") for part in inside.parts):
            return "a link into a hidden folder"
    if stat.S_ISDIR(mode):
        is_venv = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
        return "installed packages" if is_venv else _SKIPPED_FOLDERS.get(name, "")
    return "" if stat.S_ISREG(mode) else "not a regular file"


def _outer_docs(folder: Path, taken: set[str]) -> list[File]:
    """Descriptions beside an MLE-bench layout's `prepared` folder."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() == ".md" and path.name not in taken:
            info = path.stat()
            found.append(File(path.name, path, info.st_size, info.st_mtime_ns))
    return found


def _sorted_roles(folder: Path, walk: _Walk) -> Found:
    roles: dict[str, list[File]] = {
        name: [] for name in ("train", "labels", "test", "sample", "tables", "docs", "code", "media", "other")
    }
    for file in walk.files:
        roles[_role(file)].append(file)
    for name in ("train", "test", "sample"):
        kept, copies = _one_copy(roles[name])
        roles[name] = kept
        walk.skipped.extend(copies)
    return Found(
        folder,
        walk.base,
        skipped=tuple(walk.skipped),
        **{name: tuple(files) for name, files in roles.items()},
    )


def _role(file: File) -> str:
    if is_table(file.name):
        return _table_role(file)
    if is_code(file.name):
        return "code"
    if is_media(file.name):
        return "media"
    return "docs" if is_text(file.name) else "other"


def _table_role(file: File) -> str:
    base = stem(file.rel)
    if _SAMPLE.search(base):
        return "sample"
    if _LABELS.match(base):
        return "labels"
    if _PREDICTED.search(base) or "label" in base or "answer" in base or "solution" in base:
        return "tables"
    if _TRAIN.search(base) or file.parent.rsplit("/", 1)[-1].lower() == "train":
        return "train"
    return "test" if _TEST.search(base) else "tables"


def _one_copy(files: list[File]) -> tuple[list[File], list[Withheld]]:
    """The same table in several formats or packed: the plainest copy counts."""
    order = (".csv", ".tsv", ".parquet", ".pq", ".gz", ".zip")
    kept: dict[str, File] = {}
    copies = []
    ranked = sorted(
        files, key=lambda f: (next(i for i, s in enumerate(order) if f.name.lower().endswith(s)), f.rel)
    )
    for file in ranked:
        key = f"{file.parent}/{stem(file.rel)}"
        if key in kept:
            copies.append(Withheld(path=file.rel, reason=f"another copy of {kept[key].rel}"))
        else:
            kept[key] = file
    return sorted(kept.values(), key=lambda f: (f.rel.count("/"), f.rel)), copies


def looks_predicted(name: str) -> bool:
    """Whether a file or column name speaks of predictions, folds or submissions."""
    return bool(_PREDICTED.search(name.lower()))


def describe(found: Found, limit: int = 20_000) -> str:
    """The user's own words: descriptions, README, AGENTS.md, joined (at most `limit` characters)."""
    texts = []
    for file in _descriptions(found):
        text = file.path.read_text(encoding="utf-8", errors="replace").strip()
        if text:
            texts.append(text if len(text) <= limit else text[:limit] + "\n[cut]")
    return "\n\n".join(texts)[:limit]


def _descriptions(found: Found) -> list[File]:
    ranked = []
    for file in found.docs:
        base = file.name.lower().rsplit(".", 1)[0]
        if base in _DESCRIPTIONS and file.rel.count("/") <= 1:
            ranked.append((_DESCRIPTIONS.index(base), file.rel, file))
    return [file for _, _, file in sorted(ranked)]
