"""Token streams on disk become batches of one fixed shape, without cutting or mixing documents.

A stream is three files: `NAME.ids.npy` (uint16, all documents one after another), `NAME.mask.npy`
(uint8, 1: the token counts as a target) and `NAME.starts.npy` (int64, where documents begin). Each
document takes one row of the narrowest of a few widths it fits; every batch draws the same number
of rows of each width (and a little filler, so that all stages are of one shape), and what batch
`step` holds follows from the seed and `step` alone: resuming needs no more than a number.
`python -m finetune.nano.data DIR NAME...` packs streams into one compressed NAME.npz each, which
is read as well, for the way to another machine.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from mleagent.errors import InputError

from .model import Segments

_PARTS = ("ids", "mask", "starts")
_UNREADABLE = (OSError, ValueError, KeyError, BadZipFile)
_GRAIN = 32
"""Widths are multiples of this."""


@dataclass(frozen=True)
class Stream:
    """Documents laid end to end; document i is `ids[starts[i]:starts[i + 1]]`."""

    ids: np.ndarray
    mask: np.ndarray
    starts: np.ndarray
    """One longer than there are documents: the last entry is the length of `ids`."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Batch:
    """Flat inputs, targets and mask (float, 1 counts), each (N,)."""

    ids: Tensor
    targets: Tensor
    mask: Tensor


def read_stream(folder: Path, name: str, vocab: int) -> Stream:
    """The stream `name`, or several joined by "+". InputError when files don't fit together."""
    parts = [_read_one(folder, one, vocab) for one in name.split("+")]
    offsets = np.cumsum([0, *(len(p.ids) for p in parts)])
    starts = [p.starts[:-1] + offset for p, offset in zip(parts, offsets, strict=False)]
    return Stream(
        np.concatenate([p.ids for p in parts]),
        np.concatenate([p.mask for p in parts]),
        np.concatenate([*starts, offsets[-1:]]),
    )


def digest(folder: Path, names: Iterable[str]) -> str:
    """Hash of streams and tokenizer, however they are packed: what a run was begun on."""
    whole = hashlib.sha256()
    for name in dict.fromkeys(one for joined in names for one in joined.split("+")):
        try:
            for array in _arrays(folder, name):
                whole.update(np.ascontiguousarray(array).tobytes())
        except _UNREADABLE as error:
            raise InputError(f"token stream {name} can't be read: {error}") from None
    tokenizer = folder / "tokenizer.json"
    whole.update(tokenizer.read_bytes() if tokenizer.is_file() else b"")
    return whole.hexdigest()[:16]


def _arrays(folder: Path, name: str) -> list[np.ndarray]:
    packed = folder / f"{name}.npz"
    if packed.exists() and not (folder / f"{name}.ids.npy").exists():
        with np.load(packed, allow_pickle=False) as file:
            return [file[part] for part in _PARTS]
    return [np.load(folder / f"{name}.{part}.npy", allow_pickle=False) for part in _PARTS]


def pack(folder: Path, name: str) -> Path:
    """Writes NAME.npz from the three files of a stream, which stay."""
    path = folder / f"{name}.npz"
    with path.with_name(path.name + ".new").open("wb") as file:
        arrays = [np.load(folder / f"{name}.{part}.npy", allow_pickle=False) for part in _PARTS]
        np.savez_compressed(file, **dict(zip(_PARTS, arrays, strict=True)))
    path.with_name(path.name + ".new").replace(path)
    return path


def _read_one(folder: Path, name: str, vocab: int) -> Stream:
    try:
        ids, mask, starts = _arrays(folder, name)
    except _UNREADABLE as error:
        raise InputError(f"token stream {name} can't be read: {error}") from None
    if len(ids) != len(mask) or not len(starts) or starts[0] != 0 or np.any(np.diff(starts) < 0):
        raise InputError(f"token stream {name}: ids, mask and starts in {folder} don't fit together")
    if len(ids) and int(ids.max()) >= vocab:
        raise InputError(f"token stream {name}: id {ids.max()} is beyond the vocabulary of {vocab}")
    return Stream(ids, mask, np.append(starts[starts < len(ids)], len(ids)))


def cut(stream: Stream, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Begin and length (inputs and one target more) of each row's tokens.

    A document of up to context + 1 tokens stays whole; a longer one is cut into
    pieces that overlap by one token, so that every token is once a target.
    Rows without a target that counts are left out.
    """
    begins, lengths = stream.starts[:-1], stream.lengths
    long = lengths > context + 1
    pieces = [(begins[~long], lengths[~long])]
    for begin, length in zip(begins[long], lengths[long], strict=True):
        at = np.arange(0, length - 1, context)
        pieces.append((begin + at, np.minimum(context + 1, length - at)))
    all_begins, all_lengths = (np.concatenate(column) for column in zip(*pieces, strict=True))
    counted = np.concatenate([[0], np.cumsum(stream.mask, dtype=np.int64)])
    firsts = np.minimum(all_begins + 1, len(stream.mask))  # a row's first token is never a target
    useful = (all_lengths > 1) & (counted[all_begins + all_lengths] > counted[firsts])
    return all_begins[useful], all_lengths[useful]


def choose_widths(lengths: np.ndarray, most: int = 8) -> list[int]:
    """At most `most` widths, multiples of 32, that pad these input lengths least.

    Exact, by dynamic programming over the histogram of lengths.
    """
    grains = -(-lengths // _GRAIN)
    counts = np.bincount(grains)
    edges = np.flatnonzero(counts)
    upto = np.cumsum(counts[edges])
    cost, back = edges * upto, []
    forbidden = np.tril(np.full((len(edges), len(edges)), np.iinfo(np.int64).max // 2), -1)
    for _ in range(1, most):
        # entry (i, j): the last two widths are edges i <= j, and what lies between takes the wider
        total = cost[:, None] + (upto[None, :] - upto[:, None]) * edges[None, :]
        total = np.maximum(total, forbidden)
        back.append(total.argmin(axis=0))
        cost = total.min(axis=0)
    at = len(edges) - 1
    widths = {int(edges[at])}
    for previous in reversed(back):
        at = int(previous[at])
        widths.add(int(edges[at]))
    return sorted(width * _GRAIN for width in widths)


def share(sizes: np.ndarray, widths: np.ndarray, batch_tokens: int) -> np.ndarray:
    """How many rows of each width a batch draws: in proportion to how many there are, one at least.

    Rounded down, then rows are added where most is missing for as long as one fits.
    """
    wanted = sizes * (batch_tokens / (sizes @ widths))
    rows = np.maximum(1, wanted.astype(np.int64))
    while (fits := widths <= batch_tokens - rows @ widths).any():
        rows[np.where(fits, wanted - rows, -np.inf).argmax()] += 1
    return rows


class Rows:
    """All rows of one stage on the device, and the batches drawn from them."""

    def __init__(
        self,
        stream: Stream,
        begins: np.ndarray,
        lengths: np.ndarray,
        batch_tokens: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """A batch has just `batch_tokens`, padding included, or more when one row of each width is more."""
        widths = np.array(choose_widths(lengths - 1))
        bucket = np.searchsorted(widths, lengths - 1)
        sizes = np.bincount(bucket, minlength=len(widths))
        rows = share(sizes, widths, batch_tokens)
        self._filler = max(0, batch_tokens - int(rows @ widths))
        self.segments: Segments = tuple(zip(rows.tolist(), widths.tolist(), strict=True))
        if self._filler:
            self.segments += ((1, self._filler),)
        means = np.bincount(bucket, weights=lengths - 1) / sizes
        self.tokens = float(rows @ means)
        """Tokens of a batch on average, without padding."""
        self.count = len(begins)
        self._seed, self._device = seed, device
        self._tables = [
            _table(stream, begins[bucket == b], lengths[bucket == b], int(width), device)
            for b, width in enumerate(widths)
        ]
        self._orders: dict[tuple[int, int], Tensor] = {}

    def batch(self, step: int) -> Batch:
        """What is trained on in this step of the stage."""
        ids, targets, mask = [], [], []
        for b, (tokens, counts) in enumerate(self._tables):
            rows = self.segments[b][0]
            chosen = self._chosen(b, step * rows, rows)
            drawn = tokens[chosen].long()
            ids.append(drawn[:, :-1].reshape(-1))
            targets.append(drawn[:, 1:].reshape(-1))
            mask.append(counts[chosen].reshape(-1))
        if self._filler:
            for parts in (ids, targets, mask):
                parts.append(parts[0].new_zeros(self._filler))
        return Batch(torch.cat(ids), torch.cat(targets), torch.cat(mask).float())

    def _chosen(self, bucket: int, start: int, rows: int) -> Tensor:
        """Indices start … start + rows of this width's endless sequence of shuffled epochs."""
        size, parts = len(self._tables[bucket][0]), []
        while rows:
            epoch, at = divmod(start, size)
            part = self._order(bucket, epoch)[at : at + rows]
            parts.append(part)
            start, rows = start + len(part), rows - len(part)
        return torch.cat(parts)

    def _order(self, bucket: int, epoch: int) -> Tensor:
        key = (bucket, epoch)
        if key not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k[0] != bucket or k[1] == epoch - 1}
            seed = np.random.SeedSequence([self._seed, bucket, epoch]).generate_state(1)[0]
            order = torch.randperm(
                len(self._tables[bucket][0]), generator=torch.Generator().manual_seed(int(seed))
            )
            self._orders[key] = order.to(self._device)
        return self._orders[key]


def _table(
    stream: Stream, begins: np.ndarray, lengths: np.ndarray, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Tokens (rows, width + 1), padded with 0, and which targets count (rows, width)."""
    tokens = np.zeros((len(begins), width + 1), dtype=np.int16)
    counts = np.zeros((len(begins), width), dtype=bool)
    for start in range(0, len(begins), 1 << 15):
        part = slice(start, start + (1 << 15))
        at = begins[part, None] + np.arange(width + 1)
        inside = np.arange(width + 1) < lengths[part, None]
        at = np.minimum(at, len(stream.ids) - 1)
        tokens[part] = np.where(inside, stream.ids[at], 0)
        counts[part] = (inside & (stream.mask[at] > 0))[:, 1:]
    return torch.from_numpy(tokens).to(device), torch.from_numpy(counts).to(device)


def split(stream: Stream, begins: np.ndarray, held_out: float, seed: int) -> np.ndarray:
    """True for the rows of documents that are held out; at least one document if there are two."""
    owner = np.searchsorted(stream.starts, begins, side="right") - 1
    documents = np.unique(owner)
    held = max(1, round(len(documents) * held_out)) if len(documents) > 1 else 0
    return np.isin(owner, np.random.default_rng(seed).permutation(documents)[:held])


if __name__ == "__main__":
    for one in sys.argv[2:]:
        print(pack(Path(sys.argv[1]), one))
