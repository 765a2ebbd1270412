"""How values become bytes in the store and come back: texts, token ids, log-probabilities, JSON.

Texts are zlib-compressed where that pays, token ids are LEB128 varints (one to
three bytes for today's vocabularies), log-probabilities IEEE half floats (an
absolute error below 2**-10 for values above -2, a relative one below 2**-11
elsewhere). Everything else is exact.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

_RAW, _ZLIB = b"\0", b"\1"
_WORTH_COMPRESSING = 200
"""Bytes; below it zlib's header eats what it saves."""
_LEVEL = 3
_HALF_MAX = 65504.0


def pack_text(text: str) -> bytes | None:
    """UTF-8, compressed when that is shorter; None for the empty text."""
    if not text:
        return None
    raw = text.encode()
    if len(raw) >= _WORTH_COMPRESSING:
        small = zlib.compress(raw, _LEVEL)
        if len(small) < len(raw):
            return _ZLIB + small
    return _RAW + raw


def unpack_text(data: bytes | None) -> str:
    """The text that `pack_text` packed. Raises ValueError for bytes it did not write."""
    if data is None:
        return ""
    if data[:1] == _ZLIB:
        return zlib.decompress(data[1:]).decode()
    if data[:1] == _RAW:
        return data[1:].decode()
    raise ValueError(f"unknown text packing {data[0]}")


def pack_ids(ids: Sequence[int]) -> bytes | None:
    """Non-negative integers as LEB128 varints; None for none. Raises ValueError for a negative one."""
    if not ids:
        return None
    if min(ids) < 0:
        raise ValueError(f"token id {min(ids)} is negative")
    out = bytearray()
    for value in ids:
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def unpack_ids(data: bytes | None) -> tuple[int, ...]:
    """The integers that `pack_ids` packed."""
    if data is None:
        return ()
    ids, value, shift = [], 0, 0
    for byte in data:
        if byte & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        else:
            ids.append(value | byte << shift)
            value = shift = 0
    return tuple(ids)


def pack_halves(values: Sequence[float]) -> bytes | None:
    """Floats as little-endian IEEE halves, finite ones clipped to their range; None for none."""
    if not values:
        return None
    inf = float("inf")
    clipped = (v if v in (inf, -inf) or v != v else min(max(v, -_HALF_MAX), _HALF_MAX) for v in values)
    return struct.pack(f"<{len(values)}e", *clipped)


def unpack_halves(data: bytes | None) -> tuple[float, ...]:
    """The floats that `pack_halves` packed, rounded to half precision."""
    return struct.unpack(f"<{len(data) // 2}e", data) if data else ()


def pack_doubles(values: Sequence[float]) -> bytes | None:
    """Floats, exactly, compressed; None for none."""
    return zlib.compress(struct.pack(f"<{len(values)}d", *values), _LEVEL) if values else None


def unpack_doubles(data: bytes | None) -> tuple[float, ...]:
    """The floats that `pack_doubles` packed."""
    if data is None:
        return ()
    raw = zlib.decompress(data)
    return struct.unpack(f"<{len(raw) // 8}d", raw)


def to_json(value: Any) -> str:
    """Compact JSON of a dumped record; NaN and infinities are kept, paths become strings."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def from_json(text: str) -> Any:
    """What `to_json` wrote."""
    return json.loads(text)


def shared_prefix(ids: Sequence[int], base: Sequence[int]) -> int:
    """How many leading elements two sequences share.

    The whole of `base` in the usual case (prompts only grow), which one comparison
    in C finds; otherwise bisection over such comparisons.
    """
    low, high = 0, min(len(ids), len(base))
    if ids[:high] == base[:high]:
        return high
    while low < high - 1:
        middle = (low + high) // 2
        if ids[low:middle] == base[low:middle]:
            low = middle
        else:
            high = middle
    return low


def clip_middle(text: str, limit: int) -> str:
    """The head and tail of a long text, together `limit` characters."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}\n…\n{text[-half:]}"


def one_line(parts: Iterable[str]) -> str:
    """Parts joined by single spaces, line breaks removed."""
    return " ".join(" ".join(parts).split())
