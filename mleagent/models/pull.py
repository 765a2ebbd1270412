"""From a repository's name to an entry of the ledger: which of its files, their download, the entry.

`plan` asks the hub and decides, so that size and licence can be shown before anything is fetched; `run`
downloads, checks and only then writes the entry. GGUF is preferred, one quantisation of it; a repository
without it gives its safetensors, which learning can use.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from .. import clock
from ..errors import InputError, MleagentError
from ..records import Record
from .download import Progress, fetch, part_of
from .entries import Base, Files, Kind, checked_name, name_for
from .files import head_of, joined_hash, stamp_of
from .hub import Hub, RemoteFile, Repo
from .known import KNOWN
from .ledger import Ledger

PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16")
"""Quantisations in the order in which they are taken when none is named."""

_SPEC = re.compile(r"(?:hub:|hf:|https?://[^/]+/)?([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?(?::([\w.-]+))?/?")
_SPLIT = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)", re.IGNORECASE)
_QUANT = re.compile(r"(?:^|[-._/])((?:I?Q\d\w*|BF16|F16|F32|MXFP4\w*))(?=[-._/])", re.IGNORECASE)
_BESIDE = re.compile(
    r"(config|generation_config|tokenizer\w*|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)"
    r"\.json|merges\.txt|tokenizer\.model|chat_template\.jinja"
)
_MARGIN = 50_000_000
"""Bytes of the disk that a download leaves free."""


class Plan(Record):
    """What a pull would fetch, and where to."""

    repo: Repo
    kind: Kind
    files: tuple[RemoteFile, ...]
    folder: Path
    name: str

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)

    def target(self, file: RemoteFile) -> Path:
        """Where a file will lie."""
        return self.folder / PurePosixPath(file.path).name

    def missing(self) -> int:
        """Bytes that are not here yet."""
        return self.bytes - sum(self._here(file) for file in self.files)

    def _here(self, file: RemoteFile) -> int:
        """Bytes of a file that are here; what lies in its place in another size is another version."""
        target, part = self.target(file), part_of(self.target(file), file)
        if target.is_file() and target.stat().st_size == file.bytes:
            return file.bytes
        return min(part.stat().st_size, file.bytes) if part.is_file() else 0


def plan(hub: Hub, ledger: Ledger, text: str, name: str = "") -> Plan:
    """What `pull TEXT` means: `OWNER/REPO[@REVISION][:QUANTISATION]`, or a known model's short name.

    Raises InputError (nothing of the kind, the name is taken), UnavailableError (the hub).
    """
    text = next((one.pull for one in KNOWN if one.name == text.lower()), text)
    found = _SPEC.fullmatch(text.strip())
    if not found:
        short = ", ".join(one.name for one in KNOWN[:3])
        raise InputError(f"{text!r} names no repository; write OWNER/REPO:Q4_K_M, or {short} …")
    repo = hub.look(found[1], found[2] or "main")
    kind, files = _picked(repo, found[3] or "")
    folder = ledger.home / "models" / repo.name.replace("/", "--")
    alone = PurePosixPath(files[0].path).name if kind == "gguf" else repo.name.split("/")[-1]
    called = checked_name(name) if name else name_for(Path(alone))
    made = Plan(repo=repo, kind=kind, files=files, folder=folder, name=called)
    taken = ledger.find(called)
    if taken is not None and (taken.files is None or Path(taken.files.path) != _place(made)):
        raise InputError(f"there is a model {called!r} already; choose another name with --name")
    return made


def run(made: Plan, hub: Hub, ledger: Ledger, progress: Progress, free_bytes: int) -> Base:
    """Download, check, enter. Nothing is in the ledger until all of it is whole. Raises MleagentError."""
    if made.missing() + _MARGIN > free_bytes:
        raise MleagentError(
            f"{made.repo.name} needs {made.missing() / 1e9:.2f} GB more, and {free_bytes / 1e9:.2f} GB are "
            f"free at {ledger.home}; make room, or MLEAGENT_HOME moves it"
        )
    hashes = {
        made.target(file).name: fetch(hub, made.repo, file, made.target(file), progress)
        for file in made.files
    }
    place = _place(made)
    try:
        head = head_of(place)
    except InputError as error:
        raise InputError(
            f"{made.repo.name} can't be used: {error} "
            f"(these are the hub's own bytes; they stay in {made.folder})"
        ) from None
    files = [made.target(file) for file in made.files]
    if made.kind == "safetensors":
        files.sort()
    base = Base(
        name=made.name,
        kind=made.kind,
        files=Files(path=str(place), sha256=joined_hash(hashes), bytes=made.bytes, stamp=stamp_of(files)),
        owned=True,
        source=f"hub:{made.repo.name}@{made.repo.commit}",
        licence=made.repo.licence or head.licence,
        architecture=head.architecture,
        parameters=head.parameters,
        context_length=head.context_length,
        kv_bytes=head.kv_bytes,
        added_at=clock.now(),
    )
    ledger.add(base, replace=True)
    return base


def _place(made: Plan) -> Path:
    return made.target(made.files[0]) if made.kind == "gguf" else made.folder


def _picked(repo: Repo, quant: str) -> tuple[Kind, tuple[RemoteFile, ...]]:
    """The files of one model in the repository. Raises InputError."""
    groups: dict[tuple[bool, str], list[RemoteFile]] = {}
    for file in repo.files:
        name = PurePosixPath(file.path).name.lower()
        if name.endswith(".gguf") and not name.startswith(("mmproj", "imatrix")):
            whole = _SPLIT.sub("", file.path)
            groups.setdefault((whole != file.path, whole), []).append(file)
    if not groups:
        return "safetensors", _safetensors(repo, quant)
    wanted = [quant] if quant else list(PREFERRED)
    for one in wanted:
        # a model in one file before the same in parts
        fitting = sorted(group for group in groups if _has(group[1], one))
        if fitting:
            return "gguf", tuple(sorted(groups[fitting[0]], key=lambda file: file.path))
    if len(groups) == 1 and not quant:
        return "gguf", tuple(sorted(next(iter(groups.values())), key=lambda file: file.path))
    there = ", ".join(sorted({_quant_of(path) for _, path in groups}))
    raise InputError(f"{repo.name} has {there}; name one: mleagent models pull {repo.name}:NAME")


def _safetensors(repo: Repo, quant: str) -> tuple[RemoteFile, ...]:
    files = [file for file in repo.files if "/" not in file.path]
    weights = [file for file in files if re.fullmatch(r"model[\w.-]*\.safetensors", file.path)]
    if not weights or not any(file.path == "config.json" for file in files):
        raise InputError(f"{repo.name} holds neither GGUF nor safetensors weights; name another repository")
    if quant:
        raise InputError(
            f"{repo.name} holds safetensors, which have no {quant}; leave out what follows the colon"
        )
    return (*weights, *(file for file in files if _BESIDE.fullmatch(file.path)))


def _has(path: str, quant: str) -> bool:
    return re.search(rf"(?i)(^|[-._/]){re.escape(quant)}([-._/])", path) is not None


def _quant_of(path: str) -> str:
    found = _QUANT.search(path)
    return found[1].upper() if found else PurePosixPath(path).name
