"""Actions that only look: list, read, data. They run on our side, on prepared inputs and the workspace.

All output is capped; tables are profiled by `task.profile`. Nothing private is
reachable from here: paths resolve inside the public folder or the workspace.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..records import Action, Task
from .workspace import PathRefused, Workspace, input_path, inside

MAX_LINES = 200
MAX_CHARS = 12_000
MAX_ENTRIES = 100


def look(action: Action, task: Task, workspace: Workspace) -> str:
    """The text that a `list`, `read` or `data` action shows. Raises PathRefused."""
    if action.kind == "list":
        return _list(action.path, task, workspace)
    if action.kind == "data":
        return _data(action.path, task, workspace)
    return _read(action, task, workspace)


def _find(path: str, task: Task, workspace: Workspace) -> Path:
    """The workspace's file first, then the input of that name."""
    try:
        own = workspace.root / inside(path)
    except PathRefused:
        own = None
    if own is not None and own.is_file():
        return own
    found = input_path(task, path)
    if found is None:
        raise PathRefused(f'there is no {path}; see <list path="."/>')
    return found


def _list(path: str, task: Task, workspace: Workspace) -> str:
    lines = []
    if path in (".", "", "/kaggle/working"):
        lines += [f"{name}  {_size(workspace.root / name)}" for name in workspace.paths()]
        lines += [f"{task.mount}/{name}" for name in _entries(task.public, task.public)]
    else:
        folder = input_path(task, path)
        if folder is not None and folder.is_dir():
            lines += [f"{task.mount}/{name}" for name in _entries(folder, task.public)]
        else:
            prefix = inside(path).rstrip("/") + "/"
            names = [name for name in workspace.paths() if name.startswith(prefix)]
            lines += [f"{name}  {_size(workspace.root / name)}" for name in names]
    if not lines:
        raise PathRefused(f"there is nothing at {path}")
    shown = lines[:MAX_ENTRIES]
    return "\n".join(shown + ([f"... and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else []))


def _entries(folder: Path, root: Path) -> list[str]:
    """Files and folders right below, each folder with its count."""
    out = []
    for entry in sorted(folder.iterdir())[: MAX_ENTRIES + 1]:
        name = entry.relative_to(root).as_posix()
        out.append(
            f"{name}/  {sum(1 for _ in entry.iterdir())} entries"
            if entry.is_dir()
            else f"{name}  {_size(entry)}"
        )
    return out


def _read(action: Action, task: Task, workspace: Workspace) -> str:
    target = _find(action.path, task, workspace)
    if target.is_dir():
        raise PathRefused(f"{action.path} is a folder; <list> it")
    first = action.start or 1
    last = min(action.end or first + MAX_LINES - 1, first + MAX_LINES - 1)
    out, total = [], 0
    with target.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if number > last:
                out.append(f"... (more lines follow; read from {last + 1})")
                break
            if number < first:
                continue
            text = line.rstrip("\n")[:1000]
            total += len(text)
            if total > MAX_CHARS:
                out.append(f"... (cut at {MAX_CHARS} characters; read from {number})")
                break
            out.append(f"{number}: {text}")
    return "\n".join(out) or f"{action.path} has no line {first}"


def _data(path: str, task: Task, workspace: Workspace) -> str:
    from ..task.profile import table_profile

    target = _find(path, task, workspace)
    try:
        return table_profile(target)
    except InputError as error:
        raise PathRefused(str(error)) from None


def _size(path: Path) -> str:
    count = path.stat().st_size
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{count / 1024:.1f} kB"
