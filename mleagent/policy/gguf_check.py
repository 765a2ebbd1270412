"""What a GGUF file is, read before llama.cpp sees it: llama.cpp aborts on some broken files.

Reads magic, version, metadata and tensor table (not the weights) and checks that
every tensor lies inside the file, of a split model in all its parts. Gives a
`GgufHead`; every defect is an InputError of one line that names the file and the
mend. Layout after the GGUF specification, versions 2 and 3.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..records import Record

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_PART = re.compile(r"(.*-)(\d{5})(-of-)(\d{5})(\.gguf)", re.IGNORECASE)
_LONG_ARRAY = 64
"""Arrays beyond this length (vocabularies) are skipped, not kept."""

# elements and bytes of one block, by ggml type
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class GgufHead(Record):
    """What matters of a GGUF model before it is loaded."""

    path: Path
    """Of a split model its first part."""
    bytes: int
    """Of all parts that are there."""
    version: int
    architecture: str
    name: str = ""
    context_length: int | None = None
    """Tokens the model was trained for."""
    chat_template: str = ""
    prompt_style: str = "full"
    """`full`, or `compact` for a model made for short prompts (metadata key `mleagent.prompt_style`)."""
    parameters: int = 0
    """Number of weights, in all parts that are there."""
    licence: str = ""
    """As the file states it."""
    kv_bytes: int = 0
    """Memory of one token of context: keys and values of all layers in 16 bits; 0: unknown."""


class AdapterHead(Record):
    """What matters of a LoRA adapter in GGUF before it is loaded."""

    path: Path
    bytes: int
    architecture: str
    """Of the base it belongs to."""
    parameters: int


class _Reader:
    """Bounded reads from the file; running past its end is a truncated file."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def take(self, form: str) -> Any:
        size = struct.calcsize("<" + form)
        self._room(size)
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += size
        return value

    def text(self) -> str:
        size = self.take("Q")
        self._room(size)
        self.at += size
        return self.data[self.at - size : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A metadata value; None for a long array."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.take(self._scalar(kind))
        item, count = self.take("I"), self.take("Q")
        if item in _SCALARS:
            size = struct.calcsize(_SCALARS[item]) * count
            self._room(size)
            if count > _LONG_ARRAY:
                self.at += size
                return None
            return [self.take(_SCALARS[item]) for _ in range(count)]
        if item != _STRING:
            raise broken(self.path, f"has an array of type {item}")
        self._room(8 * count)
        return self._texts(count)

    def _texts(self, count: int) -> list[str] | None:
        """Strings of an array; a vocabulary is only stepped over."""
        if count <= _LONG_ARRAY:
            return [self.text() for _ in range(count)]
        read, data, at, end = struct.Struct("<Q").unpack_from, self.data, self.at, len(self.data)
        for _ in range(count):
            if at + 8 > end:
                break
            at += 8 + read(data, at)[0]
        self.at = at
        self._room(0)
        return None

    def _scalar(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise broken(self.path, f"has a value of unknown type {kind}")
        return _SCALARS[kind]

    def _room(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise broken(self.path, "is truncated inside its header")


def broken(path: Path, what: str) -> InputError:
    """A file that is or claims to be GGUF and can't be used."""
    return InputError(f"model file {path} {what}; copy or download it again")


def split_parts(path: Path) -> list[Path]:
    """The file alone, or the paths of all parts of the split model it is a part of, there or not."""
    found = _PART.fullmatch(path.name)
    if not found or not 1 <= int(found[2]) <= int(found[4]):
        return [path]
    stem, _, of, count, ending = found.groups()
    return [path.with_name(f"{stem}{one:05d}{of}{count}{ending}") for one in range(1, int(count) + 1)]


def check_gguf(path: Path) -> GgufHead:
    """Read and check the head of a model file, with what lies in its other parts. Raises InputError."""
    with _opened(path) as reader:
        head = _head(reader)
    first, *others = split_parts(path)
    there = [part for part in others if path == first and part.is_file()]
    sizes = [(head.bytes, head.parameters), *map(_part_size, there)]
    size, parameters = map(sum, zip(*sizes, strict=True))
    if not parameters:
        why = "its other parts are not beside it" if others else "a vocabulary only"
        raise InputError(f"model file {path} holds no weights ({why}); name a whole model")
    return head.model_copy(update={"bytes": size, "parameters": parameters})


def check_adapter(path: Path) -> AdapterHead:
    """Read and check the head of a LoRA adapter file. Raises InputError."""
    with _opened(path) as reader:
        meta, tensors = _meta(reader)
        if meta.get("general.type") != "adapter":
            raise InputError(f"{path} is a model, not an adapter; name the adapter's .gguf file")
        kind, architecture = meta.get("adapter.type"), str(meta.get("general.architecture") or "")
        if kind != "lora" or not architecture or not tensors:
            raise broken(path, f"is no usable LoRA adapter (type {kind!r}, {tensors} tensors)")
        weights = _weights(reader, tensors, int(meta.get("general.alignment") or 32))
        return AdapterHead(path=path, bytes=len(reader.data), architecture=architecture, parameters=weights)


@contextmanager
def _opened(path: Path) -> Iterator[_Reader]:
    if not path.exists():
        raise InputError(f"model file {path} does not exist; check the path given to --model")
    if not path.is_file():
        raise InputError(f"model {path} is not a file; name a .gguf file")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != b"GGUF":
                raise InputError(f"model file {path} is not GGUF ({_looks(magic)}); name a .gguf file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield _Reader(data, path)
    except OSError as error:
        raise InputError(f"model file {path} can't be read: {error.strerror or error}") from None


def _looks(magic: bytes) -> str:
    if not magic:
        return "it is empty"
    if magic == b"FUGG":
        return "it is big-endian"
    if magic in (b"ggml", b"lmgg", b"tjgg", b"fmgg"):
        return "it is in llama.cpp's old format; convert it"
    return f"it begins with {magic!r}"


def _meta(reader: _Reader) -> tuple[dict[str, Any], int]:
    """Metadata (long arrays as None) and the number of tensors; the reader then stands at their table."""
    path, size = reader.path, len(reader.data)
    reader.at = 4
    version = reader.take("I")
    if version not in (2, 3):
        raise InputError(f"model file {path} is GGUF version {version}; versions 2 and 3 can be read")
    tensors, pairs = reader.take("Q"), reader.take("Q")
    if tensors * 24 > size or pairs * 13 > size:
        raise broken(path, "is truncated or damaged (its header counts more than it can hold)")
    meta: dict[str, Any] = {"version": version}
    for _ in range(pairs):
        key = reader.text()
        meta[key] = reader.value(reader.take("I"))
    return meta, tensors


def _head(reader: _Reader) -> GgufHead:
    path = reader.path
    meta, tensors = _meta(reader)
    if meta.get("general.type", "model") not in ("model", ""):
        kind = meta["general.type"]
        raise InputError(f"model file {path} is of type {kind}, not a model; name the base model")
    architecture = str(meta.get("general.architecture") or "")
    if not architecture:
        raise broken(path, "names no architecture")
    return GgufHead(
        path=path,
        bytes=len(reader.data),
        version=meta["version"],
        architecture=architecture,
        name=str(meta.get("general.name") or ""),
        context_length=meta.get(f"{architecture}.context_length"),
        chat_template=str(meta.get("tokenizer.chat_template") or ""),
        prompt_style="compact" if meta.get("mleagent.prompt_style") == "compact" else "full",
        parameters=_weights(reader, tensors, int(meta.get("general.alignment") or 32)),
        licence=str(meta.get("general.license") or ""),
        kv_bytes=_kv_bytes(meta, architecture),
    )


def _part_size(path: Path) -> tuple[int, int]:
    """Bytes and weights of a later part of a split model."""
    with _opened(path) as reader:
        meta, tensors = _meta(reader)
        return len(reader.data), _weights(reader, tensors, int(meta.get("general.alignment") or 32))


def _kv_bytes(meta: dict[str, Any], architecture: str) -> int:
    """Keys and values of one token: over the layers, heads x (key + value length) x 2 bytes."""
    layers, heads, width = (
        meta.get(f"{architecture}.{name}")
        for name in ("block_count", "attention.head_count", "embedding_length")
    )
    kv = meta.get(f"{architecture}.attention.head_count_kv", heads)
    many = max(heads) if isinstance(heads, list) and heads else heads
    if not (isinstance(layers, int) and isinstance(many, int) and many > 0 and isinstance(width, int)):
        return 0
    size = sum(
        int(meta.get(f"{architecture}.attention.{name}_length") or width // many) for name in ("key", "value")
    )
    if isinstance(kv, list):
        return 2 * size * sum(kv)
    return 2 * size * layers * kv if isinstance(kv, int) else 0


def _weights(reader: _Reader, tensors: int, alignment: int) -> int:
    """Count the weights; every tensor must lie inside the file."""
    total, end = 0, 0
    for _ in range(tensors):
        reader.text()
        count = 1
        for _ in range(reader.take("I")):
            count *= reader.take("Q")
        per_block, block_bytes = _BLOCKS.get(reader.take("I"), (1, 0))
        end = max(end, reader.take("Q") + -(-count // per_block) * block_bytes)
        total += count
    start = -(-reader.at // alignment) * alignment
    if start + end > len(reader.data):
        missing = start + end - len(reader.data)
        raise broken(reader.path, f"is truncated: {missing:,} of its {start + end:,} bytes are missing")
    return total
