"""Model files on disk: what they are, their hash, and whether they are still what the ledger knows.

Takes the path of a GGUF model (split ones by their first part), a LoRA adapter or a safetensors folder;
gives `Files` and what the file says of itself. A file is hashed once and then trusted as long as its
size and time of change stay.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..errors import InputError
from ..policy.gguf_check import GgufHead, check_gguf, split_parts
from .entries import Files

_FOLDER = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_CHUNK = 1 << 22


def parts_of(path: Path) -> list[Path]:
    """The file alone, or all parts of a split GGUF of which it is the first. Raises InputError."""
    parts = split_parts(path)
    if path != parts[0]:
        number = parts.index(path) + 1
        raise InputError(f"{path} is part {number} of a split model; name the first, {parts[0].name}")
    for part in parts:
        if not part.is_file():
            raise InputError(f"{path} is a split model, and its part {part.name} is missing beside it")
    return parts


def members(path: Path) -> list[Path]:
    """All files an entry at `path` consists of. Raises InputError where one is missing."""
    if path.is_dir():
        found = present(path)
        if not any(file.suffix == ".safetensors" for file in found):
            raise InputError(f"{path} holds no .safetensors file; name a .gguf file or a model's folder")
        return found
    if not path.is_file():
        raise InputError(f"{path} is not there; `mleagent models add` takes a file or folder that is")
    return parts_of(path)


def present(path: Path) -> list[Path]:
    """Those files of an entry at `path` that are there, should others be missing."""
    found = {file for name in _FOLDER for file in path.glob(name)} if path.is_dir() else split_parts(path)
    return sorted(file for file in found if file.is_file())


def files_at(path: Path) -> Files:
    """Hash what lies at `path` (a gigabyte takes about a second). Raises InputError."""
    found = members(path)
    try:
        stamp = stamp_of(found)
        hashes = {file.name: sha256_of(file) for file in found}
        size = sum(file.stat().st_size for file in found)
    except OSError as error:
        raise InputError(f"{error.filename or path} can't be read: {error.strerror}") from None
    return Files(path=str(path), sha256=joined_hash(hashes), bytes=size, stamp=stamp)


def joined_hash(hashes: dict[str, str]) -> str:
    """One hash for an entry's files: a single file's own, else that of the lines `sha256  name`."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()


def stamp_of(found: list[Path]) -> str:
    """Sizes and times of change, which move when a file does."""
    facts = [file.stat() for file in found]
    return " ".join(f"{fact.st_size}@{fact.st_mtime_ns}" for fact in facts)


def sha256_of(path: Path) -> str:
    """The hash of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def checked(files: Files, name: str) -> Files:
    """The same files, still what they were; a new stamp if only the times changed. Raises InputError."""
    path = Path(files.path)
    if not path.exists():
        mend = f"put it back, or mleagent models remove {name}"
        raise InputError(f"model {name}: {path} is no longer there; {mend}")
    if stamp_of(members(path)) == files.stamp:
        return files
    now = files_at(path)
    if now.sha256 != files.sha256:
        mend = f"mleagent models add {path} takes it as a new model"
        raise InputError(f"model {name}: {path} has changed since it was added; {mend}")
    return now


def safetensors_head(folder: Path) -> GgufHead:
    """What a safetensors folder says of itself, in the same record. Raises InputError."""
    found, config = members(folder), folder / "config.json"
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        architecture, context = str(values["model_type"]), values.get("max_position_embeddings")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{config} can't be used ({type(error).__name__}); get the model again") from None
    weights = [_weights(file) for file in folder.glob("*.safetensors")]
    return GgufHead(
        path=folder,
        bytes=sum(file.stat().st_size for file in found),
        version=0,
        architecture=architecture,
        context_length=context if isinstance(context, int) else None,
        parameters=sum(weights),
    )


def _weights(file: Path) -> int:
    """Number of weights in a safetensors file, by its header; all of them must lie inside the file."""
    try:
        with file.open("rb") as data:
            size = int.from_bytes(data.read(8), "little")
            if not 2 <= size <= min(100_000_000, file.stat().st_size):
                raise ValueError("header")
            table = {name: one for name, one in json.loads(data.read(size)).items() if name != "__metadata__"}
        end = 8 + size + max((one["data_offsets"][1] for one in table.values()), default=0)
        if end > file.stat().st_size:
            raise ValueError("truncated")
        return sum(_product(one["shape"]) for one in table.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{file} is truncated or damaged; copy or download it again") from None


def _product(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def head_of(path: Path) -> GgufHead:
    """What a model file or folder says of itself, checked. Raises InputError."""
    return safetensors_head(path) if path.is_dir() else check_gguf(path)
