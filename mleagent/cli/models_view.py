"""How models look at a terminal: the table, one entry, what a pull would fetch, a download's progress."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import clock
from ..config import data_home, load_settings
from ..models import Adapter, Base, Entry, Ledger
from ..models.active import parent_of
from ..models.bundled import NAMES, bundled
from ..models.known import context_of, need_gb
from .fit import fit

if TYPE_CHECKING:
    from ..models.pull import Plan  # the download's libraries are left to those who download

_STEP_S = 0.2


def rows() -> list[dict[str, Any]]:
    """All models, the bundled ones first, as `models list --json` gives them."""
    ledger = Ledger(data_home())
    entries: list[Entry] = [base for name in NAMES if (base := bundled(name))]
    return [row(ledger, entry) for entry in (*entries, *ledger.bases(), *ledger.adapters())]


def row(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    """One model: what it is, its state, size in bytes, whether solve uses it."""
    active = load_settings().model.lower() == entry.name.lower()
    common = {
        "name": entry.name,
        "kind": "adapter" if isinstance(entry, Adapter) else entry.kind,
        "state": _state(entry),
        "active": active,
        "bytes": entry.files.bytes if entry.files else 0,
        "path": entry.files.path if entry.files else "",
        "sha256": entry.files.sha256 if entry.files else "",
    }
    if isinstance(entry, Adapter):
        base = parent_of(ledger, entry)
        return common | {"parent": base.name if base else "", "licence": "", "parameters": None, "source": ""}
    more = {"parent": "", "licence": entry.licence, "parameters": entry.parameters or None}
    return common | more | {"source": entry.url or entry.source}


def _state(entry: Entry) -> str:
    if entry.files and not Path(entry.files.path).exists():
        return "missing"
    return entry.state if isinstance(entry, Adapter) else "ready"


def print_rows(found: list[dict[str, Any]]) -> None:
    """The table of `models list`."""
    if not found:
        typer.echo("no model yet: mleagent models add PATH.gguf, or mleagent models pull OWNER/REPO")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("", "name", "kind", "state", "size", "parameters", "licence", "base or source"):
        table.add_column(title, overflow="fold", justify="right" if title == "size" else "left")
    for one in found:
        style = "bold green" if one["active"] else "red" if one["state"] in ("missing", "refused") else ""
        source = re.sub(r"@([0-9a-f]{10})[0-9a-f]{30}$", r"@\1", one["source"])
        cells = (
            "*" if one["active"] else "", one["name"], one["kind"], one["state"], size(one["bytes"]),
            count(one["parameters"]), one["licence"], one["parent"] or source,
        )  # fmt: skip
        table.add_row(*(Text(cell, style=style) for cell in cells))
    Console().print(table)
    setting = load_settings().model
    if not any(one["active"] for one in found):
        typer.echo(f"\nsolve uses: {setting}")


def print_entry(ledger: Ledger, entry: Entry) -> None:
    """The page of `models show`."""
    one = row(ledger, entry)
    lines = [(key, str(value)) for key, value in one.items() if value not in ("", None, 0, False)]
    if one["bytes"]:
        lines = [(key, size(int(value)) if key == "bytes" else value) for key, value in lines]
    if isinstance(entry, Base) and entry.kind == "gguf" and entry.files:
        context = context_of(entry.context_length, load_settings().n_ctx)
        need = need_gb(entry.files.bytes, entry.kv_bytes, context)
        lines.append(("needs", f"about {need:.1f} GB with a context of {context} tokens; {fit(need).words}"))
    if isinstance(entry, Adapter):
        lines += _adapter_lines(entry)
    if entry.added_at:
        lines.append(("added", _day(entry.added_at)))
    width = max(len(key) for key, _ in lines)
    for key, value in lines:
        typer.echo(f"{key:<{width}}  {value}")


def _adapter_lines(entry: Adapter) -> list[tuple[str, str]]:
    made, lines = entry.provenance, []
    lines += [(f"config {key}", value) for key, value in made.config.items()]
    lines += [("seed", str(made.seed))] if made.config else []
    lines += [("data", digest) for digest in made.data]
    lines += [("sessions", ", ".join(made.sessions))] if made.sessions else []
    lines += [("version", f"{library} {version}") for library, version in made.versions.items()]
    if entry.gate:
        gate = entry.gate
        bound = f"gain {gate.gain:+.4f}, at least {gate.lower:+.4f} at alpha {gate.alpha:g}"
        lines.append(("gate", f"{gate.verdict}: {bound} on {gate.tasks} tasks {gate.reason}".rstrip()))
    return lines


def plan_lines(made: Plan) -> list[str]:
    """What a pull would fetch: files, size, licence, memory."""
    files = made.files[:6]
    lines = [f"{made.repo.name} at {made.repo.commit[:12]}, as {made.name}"]
    lines += [f"  {file.path}  {size(file.bytes)}" for file in files]
    lines += [f"  and {len(made.files) - 6} more"] if len(made.files) > 6 else []
    gated = ", gated" if made.repo.gated else ""
    lines.append(f"{size(made.bytes)} in all, licence: {made.repo.licence or 'not stated'}{gated}")
    if made.kind == "gguf":
        need = need_gb(made.bytes, 0, 0)
        lines.append(f"needs about {need:.1f} GB of memory and its context's; {fit(need).words}")
    else:
        lines.append("safetensors: learning can use it, solve can't")
    return [*lines, f"into {made.folder}"]


def size(count_: int) -> str:
    """Bytes as people write them."""
    if not count_:
        return ""
    return f"{count_ / 1e9:.2f} GB" if count_ >= 1e9 else f"{count_ / 1e6:.1f} MB"


def count(parameters: int | None) -> str:
    """Number of weights as people write it."""
    if not parameters:
        return ""
    return f"{parameters / 1e9:.2g} B" if parameters >= 1e9 else f"{parameters / 1e6:.2g} M"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


class Bar:
    """A download's progress on one line of stderr; silent where that is no terminal."""

    def __init__(self) -> None:
        self._shown, self._begun, self._first, self._name = 0.0, 0.0, 0, ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and sys.stderr.isatty():
            sys.stderr.write("\n")

    def __call__(self, name: str, have: int, total: int) -> None:
        """Bytes have come."""
        now = clock.monotonic()
        if name != self._name or have < self._first:  # another file, or this one anew
            self._begun, self._first, self._name = now, have, name
        if not sys.stderr.isatty() or (now - self._shown < _STEP_S and have < total):
            return
        self._shown = now
        rate = (have - self._first) / max(now - self._begun, 0.1) / 1e6
        short = name if len(name) <= 50 else "…" + name[-49:]
        sys.stderr.write(f"\r\x1b[K{short}  {size(have)} of {size(total)}  {rate:.1f} MB/s")
        sys.stderr.flush()
