"""What the user has already becomes an entry: a file or folder in its place, an adapter, an endpoint.

Nothing is copied or moved: the ledger keeps path, hash, size and time of change.
"""

from __future__ import annotations

from pathlib import Path

from .. import clock
from ..config import user_path
from ..errors import InputError
from ..policy.gguf_check import check_adapter
from .bundled import bundled, bundled_of_hash
from .entries import Adapter, Base, Entry, Files, Provenance, checked_name, name_for
from .files import files_at, head_of, present
from .ledger import Ledger


def add_base(ledger: Ledger, path: Path, name: str = "", licence: str = "") -> Base:
    """A GGUF file or a folder of safetensors. Raises InputError."""
    path = user_path(path).absolute()
    head = head_of(path)
    called = _free(ledger, name or name_for(path), path)
    base = Base(
        name=called,
        kind="safetensors" if path.is_dir() else "gguf",
        files=files_at(path),
        source=f"added from {path.parent}",
        licence=licence or head.licence,
        architecture=head.architecture,
        parameters=head.parameters,
        context_length=head.context_length,
        kv_bytes=head.kv_bytes,
        added_at=clock.now(),
    )
    ledger.add(base, replace=True)
    return base


def add_adapter(
    ledger: Ledger,
    path: Path,
    base: str,
    name: str = "",
    *,
    provenance: Provenance | None = None,
    owned: bool = False,
) -> Adapter:
    """A LoRA adapter in GGUF, on a base that is here, as a candidate. Raises InputError."""
    path = user_path(path).absolute()
    head = check_adapter(path)
    parent = ledger.find(base) or bundled(base) or ledger.get(base)
    if not isinstance(parent, Base) or parent.files is None:
        raise InputError(f"{base} has no weights here that an adapter could belong to; name a base model")
    if head.architecture != parent.architecture:
        raise InputError(f"{path} is an adapter for {head.architecture}, and {base} is {parent.architecture}")
    adapter = Adapter(
        name=_free(ledger, name or name_for(path), path),
        files=files_at(path),
        parent=parent.files.sha256,
        parent_name=parent.name,
        provenance=provenance or Provenance(),
        owned=owned,
        added_at=clock.now(),
    )
    ledger.add(adapter, replace=True)
    return adapter


def add_endpoint(ledger: Ledger, url: str, name: str, endpoint_model: str = "") -> Base:
    """An endpoint's address under a name; it is not asked. Raises InputError."""
    from ..policy.endpoint import Endpoint

    checked_name(name)
    Endpoint(url)  # refuses what is no address
    base = Base(name=name, kind="endpoint", url=url, endpoint_model=endpoint_model, added_at=clock.now())
    ledger.add(base)
    return base


def remove(ledger: Ledger, name: str, in_use: str) -> list[Path]:
    """Take an entry out; files of our own are deleted, and listed. Raises InputError while it is needed."""
    entry = ledger.get(name)
    if isinstance(entry, Base) and entry.files and not _twin(ledger, entry):
        children = [one.name for one in ledger.children(entry.files.sha256)]
        if children:
            raise InputError(f"{entry.name} is the base of {', '.join(children)}; remove those first")
    if in_use.lower() == entry.name.lower():
        raise InputError(f"{entry.name} is what solve uses; mleagent models use another first")
    going = own_files(ledger, entry)
    ledger.remove(entry.name)
    for file in going:
        file.unlink(missing_ok=True)
    for folder in {file.parent for file in going} - {ledger.home / "models"}:
        if not any(folder.iterdir()):
            folder.rmdir()
    return going


def own_files(ledger: Ledger, entry: Entry) -> list[Path]:
    """The files that go with an entry: those inside our own folder that no other entry has, where there."""
    if not entry.owned or not entry.files:
        return []
    ours = (ledger.home / "models").resolve()
    kept = {file.resolve() for one in _others(ledger, entry) if one.files for file in _files(one.files)}
    going = ((file, file.resolve()) for file in _files(entry.files))
    return [file for file, real in going if real.is_relative_to(ours) and real not in kept]


def _files(files: Files) -> list[Path]:
    return present(Path(files.path))


def _others(ledger: Ledger, entry: Entry) -> list[Entry]:
    entries: list[Entry] = [*ledger.bases(), *ledger.adapters()]
    return [one for one in entries if one.name != entry.name]


def _twin(ledger: Ledger, base: Base) -> bool:
    """Whether the same weights are here under another name too, for the adapters that belong to them."""
    assert base.files is not None
    same = base.files.sha256
    bases = [one for one in _others(ledger, base) if isinstance(one, Base)]
    here = any(one.files and one.files.sha256 == same for one in bases)
    return here or bundled_of_hash(same) is not None


def _free(ledger: Ledger, name: str, path: Path) -> str:
    """The name, unless another file holds it. Raises InputError."""
    checked_name(name)
    taken = ledger.find(name)
    if taken is not None and (taken.files is None or taken.files.path != str(path)):
        raise InputError(f"there is a model {name!r} already; choose another name with --name")
    return name
