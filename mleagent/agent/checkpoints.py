"""Checkpoints of the workspace in a git repository of our own, never the user's.

Objects are written through GitPython's object database without starting a git
process, so a checkpoint costs a few milliseconds whatever the session's length.
Size-capped: files beyond the cap (largest first) are left out and named. Input
data never comes here, it is mounted, not copied.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from git import Actor, Blob, Commit, GitCommandError, Repo, Tree
from git.objects.fun import tree_to_stream
from gitdb import IStream
from gitdb.db import LooseObjectDB
from gitdb.util import to_bin_sha

from ..clock import now
from ..errors import StoreError

_FILE, _TREE = 0o100644, 0o40000
_AUTHOR = Actor("mleagent", "mleagent@localhost")


class Checkpoints:
    """Commits of a folder's files, in a bare repository at `git_dir`."""

    def __init__(self, git_dir: Path, cap_mb: int = 200) -> None:
        """Opens or creates the repository; `cap_mb` bounds one checkpoint's files in MiB."""
        fresh = not (git_dir / "HEAD").exists()
        self._repo = Repo.init(git_dir, bare=True) if fresh else Repo(git_dir)
        # Written in process: a git process for each file would double a step's overhead.
        self._objects = LooseObjectDB(str(git_dir / "objects"))
        self._git_dir = git_dir
        self._cap = cap_mb * 2**20
        self._known: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        self._head: Commit | None = None
        self.skipped: tuple[str, ...] = ()
        """Files the last commit left out, a line each."""

    def commit(self, root: Path, paths: Iterable[str], message: str) -> str:
        """Commit these files of `root` on top of the last commit of this process; the commit's hex id.

        Raises StoreError or OSError when it can't be written.
        """
        with self._writing():
            return self._commit(root, paths, message)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Git's own errors as a StoreError of one line."""
        try:
            yield
        except GitCommandError as error:
            said = " ".join(str(error.stderr).split()).removeprefix("stderr: ").strip("' ")
            raise StoreError(f"checkpoints {self._git_dir}: {said}") from None

    def _commit(self, root: Path, paths: Iterable[str], message: str) -> str:
        entries = {path: self._blob(root, path) for path in self._within_cap(root, paths)}
        tree = Tree(self._repo, self._tree(entries))
        parents = [self._head] if self._head else []
        when = datetime.fromtimestamp(int(now()), tz=UTC)
        self._head = Commit.create_from_tree(
            self._repo,
            tree,
            message,
            parents,
            author=_AUTHOR,
            committer=_AUTHOR,
            author_date=when,
            commit_date=when,
        )
        # Only for people who look with git: nothing of ours reads the branch, and no gc ever runs here.
        (self._git_dir / "refs" / "heads" / "session").write_text(self._head.hexsha + "\n")
        return self._head.hexsha

    def tree(self, root: Path, paths: Iterable[str]) -> str | None:
        """The hex id of the tree that these files make, without a commit; None when one is over the cap.

        Raises StoreError or OSError when it can't be written.
        """
        kept = self._within_cap(root, paths)
        if self.skipped:
            return None
        with self._writing():
            return self._tree({path: self._blob(root, path) for path in kept}).hex()

    def goto(self, commit: str) -> None:
        """The next commit's parent is `commit` (resume, undo, fork)."""
        self._head = self._repo.commit(commit)

    def files(self, commit: str) -> dict[str, bytes]:
        """All files of a commit."""
        tree = self._repo.commit(commit).tree
        return {str(item.path): item.data_stream.read() for item in tree.traverse() if isinstance(item, Blob)}

    def close(self) -> None:
        """Free what GitPython holds open."""
        self._repo.close()

    def _within_cap(self, root: Path, paths: Iterable[str]) -> list[str]:
        sizes = sorted(((root / path).stat().st_size, path) for path in paths)
        kept, total, skipped = [], 0, []
        for size, path in sizes:
            total += size
            if total > self._cap:
                skipped.append(f"{path} ({size / 2**20:.0f} MB)")
            else:
                kept.append(path)
        self.skipped = tuple(skipped)
        return kept

    def _blob(self, root: Path, path: str) -> bytes:
        """Store a file unless it is the one stored last time (by inode, size and time)."""
        stat = os.stat(root / path)
        key = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        known = self._known.get(path)
        if known and known[0] == key:
            return known[1]
        data = (root / path).read_bytes()
        stored = self._objects.store(IStream("blob", len(data), io.BytesIO(data)))
        self._known[path] = (key, stored.binsha)
        return bytes(stored.binsha)

    def _tree(self, entries: dict[str, bytes]) -> bytes:
        """Write the tree of `path -> blob` and give its binary id."""
        here: list[tuple[bytes, int, str]] = []
        below: dict[str, dict[str, bytes]] = {}
        for path, blob in entries.items():
            first, _, rest = path.partition("/")
            if rest:
                below.setdefault(first, {})[rest] = blob
            else:
                here.append((blob, _FILE, first))
        here += [(self._tree(inner), _TREE, name) for name, inner in below.items()]
        here.sort(key=lambda e: e[2].encode() + (b"/" if e[1] == _TREE else b""))
        out = io.BytesIO()
        tree_to_stream(here, out.write)
        stored = self._objects.store(IStream("tree", out.tell(), io.BytesIO(out.getvalue())))
        return bytes(
            to_bin_sha(stored.hexsha.decode() if isinstance(stored.hexsha, bytes) else stored.hexsha)
        )
