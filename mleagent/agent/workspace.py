"""The session's own copy of the work folder: files on our disk, and what the sandbox still has to be told.

Actions read and write here; before a run the changes go to the sandbox
(`take_pending`), after it the changed files come back (`absorb`). Paths are
relative POSIX paths inside the folder; a path that would leave it is refused
before anything is touched. Only regular files ever live here.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ..records import Task
from .checkpoints import Checkpoints

WORKING = PurePosixPath("/kaggle/working")
MAX_DIFF_LINES = 400


class PathRefused(Exception):
    """A path of an action is not usable; the message is meant for the model."""


def inside(path: str) -> str:
    """`path` relative to the work folder (`/kaggle/working/x` is `x`). Raises PathRefused."""
    if not path or "\0" in path or "\\" in path:
        raise PathRefused(f"{path!r} is not a usable path")
    pure = PurePosixPath(path)
    if pure.is_absolute():
        if not pure.is_relative_to(WORKING):
            raise PathRefused(f"{path} lies outside {WORKING}")
        pure = pure.relative_to(WORKING)
    if ".." in pure.parts:
        raise PathRefused(f"{path} leaves the work folder")
    if pure.parts and pure.parts[0] == ".git":
        raise PathRefused(f"{path} is reserved")
    text = pure.as_posix()
    if len(text.encode()) > 512 or any(len(part.encode()) > 255 for part in pure.parts):
        raise PathRefused("path is too long")
    return text


class Workspace:
    """Files under `root`, with checkpoints beside it."""

    def __init__(self, root: Path, checkpoints: Checkpoints) -> None:
        """`root` is created; what lies there already belongs to the workspace (resume)."""
        self.root = root
        self.checkpoints = checkpoints
        self._pending: dict[str, bytes | None] = {}
        root.mkdir(parents=True, exist_ok=True)

    def paths(self) -> list[str]:
        """All files, sorted."""
        found = []
        for folder, _, names in os.walk(self.root):
            base = Path(folder).relative_to(self.root)
            found += [(base / name).as_posix() for name in names]
        return sorted(found)

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None when there is none. Raises PathRefused."""
        target = self.root / inside(path)
        return target.read_bytes() if target.is_file() else None

    def write(self, path: str, data: bytes) -> None:
        """Write a file here and, with the next run, in the sandbox. Raises PathRefused."""
        name = inside(path)
        self._store(name, data)
        self._pending[name] = data

    def remove(self, path: str) -> None:
        """Remove a file here and, with the next run, in the sandbox."""
        name = inside(path)
        (self.root / name).unlink(missing_ok=True)
        self._pending[name] = None

    def _store(self, name: str, data: bytes) -> None:
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise PathRefused(f"{name} is a folder, or lies under a file") from None

    def take_pending(self) -> dict[str, bytes | None]:
        """What the sandbox must be told before the next run; forgotten once taken."""
        pending, self._pending = self._pending, {}
        return pending

    def pend(self, files: Mapping[str, bytes | None]) -> None:
        """These could not be sent: they are pending again, but for what has changed since."""
        self._pending = {**files, **self._pending}

    def resend(self, path: str) -> None:
        """Tell the sandbox this file again with the next run (it was given another version)."""
        data = self.read(path)
        if data is not None:
            self._pending[inside(path)] = data

    def resend_all(self) -> None:
        """After the sandbox was made anew: everything is pending."""
        self._pending = {path: (self.root / path).read_bytes() for path in self.paths()}

    def absorb(self, changed: Mapping[str, bytes], removed: tuple[str, ...], keep: str = "") -> None:
        """Take over what a run changed, except the file `keep` (the instrumented script).

        A name that no action could use is left out.
        """
        # Removals first: a file may stand where a folder was.
        for path in removed:
            if path != keep:
                with contextlib.suppress(PathRefused):
                    self._forget(inside(path))
        for path, data in changed.items():
            if path != keep:
                with contextlib.suppress(PathRefused):
                    self._store(inside(path), data)

    def _forget(self, name: str) -> None:
        """Remove a file, and folders that this leaves empty."""
        target = self.root / name
        with contextlib.suppress(NotADirectoryError, IsADirectoryError):
            target.unlink(missing_ok=True)
        for folder in target.parents:
            if folder == self.root:
                break
            with contextlib.suppress(OSError):
                folder.rmdir()

    def checkpoint(self, message: str) -> str:
        """Commit the present files; the commit's id."""
        return self.checkpoints.commit(self.root, self.paths(), message)

    def tree(self) -> str | None:
        """Hash of all files as they are; None when some are too large to be checkpointed."""
        return self.checkpoints.tree(self.root, self.paths())

    def checkpoint_of(self, files: Mapping[str, bytes], message: str) -> str:
        """Commit other files than the present ones (a background job's); the commit's id."""
        with tempfile.TemporaryDirectory(prefix="mleagent-job-") as folder:
            for path, data in files.items():
                target = Path(folder) / inside(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            return self.checkpoints.commit(Path(folder), sorted(files), message)

    def restore(self, commit: str) -> None:
        """Make the files those of `commit`; differences become pending."""
        wanted = self.checkpoints.files(commit)
        for path in self.paths():
            if path not in wanted:
                self.remove(path)
        for path, data in wanted.items():
            if self.read(path) != data:
                self.write(path, data)


def unified(path: str, before: str, after: str) -> str:
    """A unified diff, capped at `MAX_DIFF_LINES` lines."""
    lines = list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", lineterm="", n=2
        )
    )
    if len(lines) > MAX_DIFF_LINES:
        lines = [*lines[:MAX_DIFF_LINES], f"... {len(lines) - MAX_DIFF_LINES} more lines"]
    return "\n".join(lines)


def input_path(task: Task, path: str) -> Path | None:
    """The public file or folder that `path` names (absolute, `input/...`, or a bare name), else None.

    Never leaves the public folder.
    """
    if "\0" in path:
        return None
    pure = PurePosixPath(path)
    for prefix in (task.mount, f"../input/{task.name}", f"input/{task.name}", "input", "/kaggle/input"):
        if pure.is_relative_to(prefix):
            pure = pure.relative_to(prefix)
            break
    if pure.is_absolute() or ".." in pure.parts:
        return None
    target = task.public.joinpath(*pure.parts)
    return target if target.exists() and target.resolve().is_relative_to(task.public.resolve()) else None
