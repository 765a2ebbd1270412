"""The work folder as the runner sees it: files in, changed files out, links to the inputs.

Only regular files leave; links, devices, pipes and sockets are named and left.
Nothing is followed: every write goes through folders opened one by one without
following links, so a link planted in the work folder leads nowhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from typing import Any

from .frames import MAX_PATH, REMOVED, Body, FrameError, checked_path, entry

MAX_FILES = 20_000
_LEFT_OUT = frozenset(("__pycache__", ".ipynb_checkpoints"))
_PIECE = 1 << 18
_MANY = 500
_TABLES = (".csv", ".parquet", ".gz", ".zip", ".json", ".jsonl", ".txt", ".md", ".tsv")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Mark = tuple[int, int, int, int]


class Workspace:
    """The work folder and the scratch folders beside it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._work = setup["work"]
        self._input = setup["input"]
        self._scratch = [path for path in setup["scratch"] if os.path.isdir(path)]
        # A Python that lies under /tmp outside is shown there inside too.
        self._furniture = {place for path in self._scratch for place in _places(path)}
        self._known: dict[str, _Mark] = {}
        self._links = _input_links(self._input) if self._input else {}
        self.skipped: list[str] = []
        self.relink()
        self._mode = stat.S_IMODE(os.stat(self._work).st_mode)

    # --- inputs under relative names ---

    def relink(self) -> None:
        """Put links to the inputs wherever the name is free; the work folder is made usable first."""
        with contextlib.suppress(OSError):
            os.makedirs(self._work, 0o755, exist_ok=True)
            if os.stat(self._work).st_mode & 0o700 != 0o700:
                os.chmod(self._work, 0o755)
        for name in self._links.keys() - set(os.listdir(self._work)):
            with contextlib.suppress(OSError):  # on a full disk the absolute path still works
                os.symlink(self._links[name], f"{self._work}/{name}")

    # --- put ---

    def put(self, body: Body) -> None:
        """Write (or remove) every entry. Raises ValueError for a bad path, OSError when the disk is full."""
        for raw, size in body.entries():
            path = checked_path(raw.decode("utf-8"))
            if size == REMOVED:
                self._remove(path)
            else:
                self._write(path, size, body)

    def _write(self, path: str, size: int, body: Body) -> None:
        *parents, name = path.split("/")
        folder = self._open_folder(parents)
        try:
            _clear(folder, name, os.path.join(self._work, *parents))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, 0o644, dir_fd=folder)
            try:
                left = size
                while left:
                    piece = body.some(left)
                    left -= len(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(file, view) :]
                self._known[path] = _mark(os.fstat(file))
            finally:
                os.close(file)
        finally:
            os.close(folder)

    def _remove(self, path: str) -> None:
        *parents, name = path.split("/")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, OSError):
            folder = self._open_folder(parents, make=False)
            try:
                _clear(folder, name, os.path.join(self._work, *parents))
            finally:
                os.close(folder)
        gone = [known for known in self._known if known == path or known.startswith(path + "/")]
        for known in gone:
            del self._known[known]
        # Folders left empty go too, as a checkpoint would have it.
        for depth in range(len(parents), 0, -1):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self._work, *parents[:depth]))

    def _open_folder(self, parts: list[str], make: bool = True) -> int:
        """Descriptor of a folder below the work folder; what stands in its way is replaced if `make`."""
        here = os.open(self._work, _FOLDER)
        for depth, part in enumerate(parts):
            try:
                there = _open_own(part, here)
            except OSError:
                if not make:
                    os.close(here)
                    raise
                _clear(here, part, os.path.join(self._work, *parts[:depth]))
                os.mkdir(part, 0o755, dir_fd=here)
                there = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = there
        return here

    # --- pull ---

    def pull(self, max_bytes: int) -> Iterator[bytes]:
        """Body of the changed files, smallest first, and of what is gone; fills `skipped`."""
        self.relink()
        self.skipped = []
        found = self._scan()
        for path in [path for path in self._known if path not in found]:
            del self._known[path]
            yield entry(path.encode("utf-8"), REMOVED)
        changed = [(mark[0], path, mark) for path, mark in found.items() if self._known.get(path) != mark]
        left, count = max_bytes, 0
        for size, path, mark in sorted(changed):
            if size > left or count >= MAX_FILES:
                why = f"the pull's limit of {_mb(max_bytes)}" if size > left else f"{MAX_FILES} files"
                self.skipped.append(f"{path}: {_mb(size)}, over {why}")
                continue
            pieces = self._read(path, size)
            if pieces is None:
                self.skipped.append(f"{path}: can't be read")
                continue
            left, count = left - size, count + 1
            self._known[path] = mark
            yield entry(path.encode("utf-8"), size)
            yield from pieces

    def _scan(self) -> dict[str, _Mark]:
        """{path: mark} of every regular file; whatever else lies there is named in `skipped`."""
        found: dict[str, _Mark] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            for item in _listed(os.path.join(self._work, folder)):
                path = f"{folder}/{item.name}" if folder else item.name
                there = item.stat(follow_symlinks=False)
                if item.name in _LEFT_OUT:
                    continue
                if not _sendable(path):
                    self.skipped.append(f"{path[:200]!r}: a name that can't be kept")
                elif stat.S_ISDIR(there.st_mode):
                    folders.append(path)
                elif stat.S_ISREG(there.st_mode):
                    found[path] = _mark(there)
                elif not self._own_link(item):
                    self.skipped.append(f"{path}: a {_kind(there.st_mode)}, not a file")
        return found

    def _own_link(self, item: os.DirEntry[str]) -> bool:
        if not item.is_symlink() or not self._input:
            return False
        target = os.readlink(item.path)
        return target == self._input or target.startswith(self._input + "/")

    def _read(self, path: str, size: int) -> Iterator[bytes] | None:
        full = os.path.join(self._work, path)
        try:
            file = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except PermissionError:
            try:
                os.chmod(full, 0o644)
                file = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                return None
        except OSError:
            return None
        return _pieces(file, size)

    # --- between runs ---

    def wipe(self) -> list[str]:
        """Make the work and scratch folders what they were at first; what did not go, a line each."""
        for item in _listed(self._work):
            if item.is_dir(follow_symlinks=False):
                _delete_folder(item.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(item.path)
        with contextlib.suppress(OSError):
            os.chmod(self._work, self._mode)
        self.clean_scratch()
        self._known, self.skipped = {}, []
        self.relink()
        left = sorted(set(os.listdir(self._work)) - self._links.keys())
        left += [place for path in self._scratch for place in _places(path) if place not in self._furniture]
        wrong = [name for name, to in self._links.items() if not _links_to(f"{self._work}/{name}", to)]
        return [f"{name!r} is left" for name in left[:20]] + [f"{name!r} is no link" for name in wrong[:20]]

    def clean_scratch(self) -> None:
        """Empty /tmp and the like, so that a run depends on the work folder only."""
        for path in self._scratch:
            self._clean(path)

    def _clean(self, folder: str) -> None:
        for item in _listed(folder):
            if item.path in self._furniture:
                if item.is_dir(follow_symlinks=False) and not os.path.ismount(item.path):
                    self._clean(item.path)
            elif item.is_dir(follow_symlinks=False):
                _delete_folder(item.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(item.path)


def _places(folder: str) -> Iterator[str]:
    """Everything below `folder` on its own file system, and what is mounted there by name."""
    for item in _listed(folder):
        yield item.path
        if item.is_dir(follow_symlinks=False) and not os.path.ismount(item.path):
            yield from _places(item.path)


def _input_links(folder: str) -> dict[str, str]:
    """{name in the work folder: what it links to}: each input by its name, and `input` for them all."""
    names = sorted(os.listdir(folder))
    if len(names) > _MANY:
        # A folder of loose media: by name only what looks like a table or holds more.
        kept = (name for name in names if name.endswith(_TABLES) or os.path.isdir(f"{folder}/{name}"))
        names = list(itertools.islice(kept, _MANY))
    return {"input": folder, **{name: f"{folder}/{name}" for name in names}}


def _links_to(path: str, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except OSError:
        return False


def _mark(there: os.stat_result) -> _Mark:
    # A program can set mtime back, never ctime.
    return there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_ino


def _pieces(file: int, size: int) -> Iterator[bytes]:
    try:
        while size:
            piece = os.read(file, min(size, _PIECE))
            if not piece:
                raise FrameError("a file shrank while it was read")
            size -= len(piece)
            yield piece
    finally:
        os.close(file)


def _open_own(name: str, parent: int) -> int:
    """Open a folder that belongs to us, even one that a program made unreadable or unwritable."""
    try:
        there = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o755, dir_fd=parent)
        there = os.open(name, _FOLDER, dir_fd=parent)
    if os.fstat(there).st_mode & 0o700 != 0o700:
        os.fchmod(there, 0o755)
    return there


def _clear(folder: int, name: str, where: str) -> None:
    """Remove whatever has this name in `folder`, which lies at `where`."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        _delete_folder(os.path.join(where, name))


def _delete_folder(path: str) -> None:
    with contextlib.suppress(RecursionError):  # folders nested by the thousand
        shutil.rmtree(path, onerror=_force)
    if os.path.lexists(path):
        for command in (["/bin/chmod", "-R", "u+rwX", path], ["/bin/rm", "-rf", path]):
            os.waitpid(os.posix_spawn(command[0], command, {}), 0)


def _force(function: Any, path: str, _error: Any) -> None:
    """For rmtree: make the folder (or the one around) usable and try once more."""
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0o755, follow_symlinks=os.chmod not in os.supports_follow_symlinks)
        if function in (os.unlink, os.rmdir):
            function(path)
        elif os.access(path, os.R_OK | os.X_OK):  # it could not be looked into, and now can
            shutil.rmtree(path, onerror=_force)


def _listed(path: str) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(path), key=lambda item: item.name)
    except PermissionError:
        with contextlib.suppress(OSError):
            os.chmod(path, 0o755)
            return sorted(os.scandir(path), key=lambda item: item.name)
    except OSError:
        pass
    return []


def _sendable(path: str) -> bool:
    try:
        return len(checked_path(path).encode("utf-8")) <= MAX_PATH
    except ValueError:
        return False


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISLNK, "link"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    return next((name for test, name in kinds if test(mode)), "device")


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
