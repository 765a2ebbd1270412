"""Which model `solve` uses: a name becomes files that are checked, the choice is kept and taken back.

The setting `model` in config.toml is what holds; the ledger remembers every change made here, so that
`rollback` finds its way back. Nothing becomes active before its files have been found whole: by hash,
by their GGUF heads, and for an adapter its base's too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .. import clock
from ..config import user_path
from ..config_file import in_file, write_setting
from ..errors import InputError, UnavailableError
from ..policy.gguf_check import check_adapter, check_gguf
from .bundled import NAMES, bundled, bundled_of_hash
from .entries import Adapter, Base, Entry
from .files import checked
from .ledger import Ledger

FREE_WORDS = ("auto", "nano", "playbook")
"""What `use` takes beside names of the ledger; none of them has an entry."""


class Ready(NamedTuple):
    """An entry whose files are whole: what `policy.choose` needs to make a policy of it."""

    name: str
    model: str
    """Path of a GGUF file, `nano`, or an endpoint's address."""
    endpoint_model: str = ""
    adapter: Path | None = None


def resolve(ledger: Ledger, name: str) -> Ready | None:
    """The entry of that name, its files checked; None where no entry is called so. Raises InputError."""
    entry = ledger.find(name) or (bundled(name) if name.lower() != "nano" else None)
    if entry is None:
        return None
    return _ready_adapter(ledger, entry) if isinstance(entry, Adapter) else _ready_base(ledger, entry)


def parent_of(ledger: Ledger, adapter: Adapter) -> Base | None:
    """The base an adapter was trained on, if it is here under whatever name."""
    return ledger.base_of_hash(adapter.parent) or bundled_of_hash(adapter.parent)


def use(ledger: Ledger, name: str, *, force: bool = False) -> Ready:
    """Make `name` the configured model: an entry, or auto, nano, playbook.

    An adapter that no gate has promoted needs `force`. Raises InputError, UnavailableError.
    """
    entry = ledger.find(name)
    ready = resolve(ledger, name)
    if ready is None:
        if _by_address(name):
            raise InputError(f"{name} has no name yet: mleagent models add {name} first")
        if name.lower() not in FREE_WORDS:
            ledger.get(name)  # says what there is
        if name.lower() == "nano" and bundled("nano") is None:
            raise UnavailableError("mleagent-nano is not part of this installation; take playbook")
        ready = Ready(name.lower(), name.lower())
    if isinstance(entry, Adapter) and entry.state in ("candidate", "refused") and not force:
        why = "the gate refused it" if entry.state == "refused" else "no gate has looked at it yet"
        raise InputError(f"adapter {entry.name} is not promoted: {why}; --force uses it all the same")
    _switch(ledger, ready.name, entry)
    return ready


def _switch(ledger: Ledger, name: str, entry: Entry | None) -> None:
    """Config and history change together: the file is replaced inside the ledger's transaction."""
    before = configured()
    if before == name:
        return
    with _changing(ledger, before) as db:
        db.execute("INSERT INTO uses (before, after, at) VALUES (?, ?, ?)", (before, name, clock.now()))
        write_setting("model", name)
    if isinstance(entry, Adapter) and entry.state == "retired":
        ledger.set_state(entry.name, "promoted")


@contextmanager
def _changing(ledger: Ledger, before: str) -> Iterator[sqlite3.Connection]:
    """The ledger's transaction; should it not be kept (disk full), the setting is what it was."""
    try:
        with ledger.writing() as db:
            yield db
    except BaseException:
        if configured() != before:
            write_setting("model", before)
        raise


def rollback(ledger: Ledger) -> tuple[str, str]:
    """Back to the model used before; (what was, what is now). An adapter left so is retired.

    Raises InputError where there is nothing to go back to, or it is no longer whole.
    """
    last, now = ledger.last_use(), configured()
    if last is None:
        raise InputError(
            f"nothing to roll back: {now} is the first model; mleagent models use NAME changes it"
        )
    back = last.before if now == last.after else last.after
    if back.lower() not in FREE_WORDS and resolve(ledger, back) is None and not _by_address(back):
        raise InputError(f"before {now} it was {back}, which is no longer here; mleagent models use NAME")
    with _changing(ledger, now) as db:
        if back == last.before:
            db.execute("UPDATE uses SET taken_back = 1 WHERE number = ?", (last.number,))
        write_setting("model", back)
    left = ledger.find(now)
    if isinstance(left, Adapter) and left.state == "promoted":
        ledger.set_state(left.name, "retired")
    return now, back


def configured() -> str:
    """The model that config.toml sets; `auto` without one. The environment may still win over it."""
    return str(in_file().get("model") or "auto")


def _by_address(text: str) -> bool:
    """Whether a setting is no name: a path or an address, which `solve` checks itself."""
    return "://" in text or user_path(text).is_file()


def _ready_base(ledger: Ledger, base: Base) -> Ready:
    if base.kind == "endpoint":
        return Ready(base.name, base.url, base.endpoint_model)
    if base.kind == "safetensors":
        raise InputError(
            f"model {base.name} is safetensors, which learning takes; solve needs GGUF: pull or add that"
        )
    assert base.files is not None
    files = checked(base.files, base.name)
    check_gguf(Path(files.path))
    if files != base.files and ledger.find(base.name):
        ledger.update(base.model_copy(update={"files": files}))
    return Ready(base.name, files.path)


def _ready_adapter(ledger: Ledger, adapter: Adapter) -> Ready:
    base = parent_of(ledger, adapter)
    if base is None:
        called = f" (it was called {adapter.parent_name})" if adapter.parent_name else ""
        raise InputError(
            f"adapter {adapter.name} belongs to a base that is not here{called}: add or pull that first"
        )
    ready = _ready_base(ledger, base)
    files = checked(adapter.files, adapter.name)
    head, of_base = check_adapter(Path(files.path)), base.architecture
    if of_base and head.architecture != of_base:
        raise InputError(
            f"adapter {adapter.name} is for {head.architecture}, its base {base.name} is {of_base}"
        )
    if files != adapter.files:
        ledger.update(adapter.model_copy(update={"files": files}))
    model = base.name if base.name in NAMES[:1] else ready.model
    return Ready(adapter.name, model, adapter=Path(files.path))
