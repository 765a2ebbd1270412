"""The small models' tokenizer: byte-level BPE as Qwen2 splits text, with a vocabulary of 2,048.

Takes texts, gives a folder (`tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`) that
transformers loads as a Qwen2 tokenizer and the GGUF export turns into what llama.cpp reads, so the
code paths are those of a real Qwen2.5. Training is deterministic: the same texts in the same order
give the same file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""The last three ids, in Qwen2's order."""

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Qwen2's pattern (transformers, tokenization_qwen2.py); llama.cpp knows it as pre "qwen2"."""

CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")
"""Qwen2.5's own, so that what renders a real Qwen2.5-Coder renders these."""


def train(texts: Iterable[str], vocabulary: int = 2048) -> Tokenizer:
    """A tokenizer of `vocabulary` tokens in all: 256 bytes, merges and the special ones at the end."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    _fill(tokenizer, vocabulary - len(SPECIAL))
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return tokenizer


def _fill(tokenizer: Tokenizer, size: int) -> None:
    """Few texts give few merges; the ids up to `size` exist all the same, as tokens no text produces."""
    missing = size - tokenizer.get_vocab_size()
    tokenizer.add_tokens([AddedToken(f"<|unused_{i}|>", normalized=False) for i in range(missing)])


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes what transformers' AutoTokenizer needs; each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": False, "add_bos_token": False,
        "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "errors": "replace",
        "clean_up_tokenization_spaces": False, "split_special_tokens": False, "model_max_length": 4096,
    }  # fmt: skip
    files = {
        "tokenizer.json": tokenizer.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        "chat_template.jinja": CHAT_TEMPLATE,
    }
    for name, text in files.items():
        new = folder / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        os.replace(new, folder / name)


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a folder that `save` wrote."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


class Said(Protocol):
    """A message, and whether it is to be learnt."""

    @property
    def role(self) -> str: ...  # noqa: D102

    @property
    def content(self) -> str: ...  # noqa: D102

    @property
    def train(self) -> bool: ...  # noqa: D102


def encode_chat(tokenizer: Tokenizer, turns: Iterable[Said]) -> tuple[list[int], list[int]]:
    """Ids of a chat as its template renders it, and 1 where a token is to be learnt.

    Learnt are the replies marked so with the token that ends them. Control tokens
    come from the template only: a message that spells one stays text.
    """
    tokenizer.encode_special_tokens = True
    begin, end = (tokenizer.get_vocab()[text] for text in SPECIAL[1:])
    newline = tokenizer.encode("\n").ids
    ids: list[int] = []
    mask: list[int] = []
    for turn in turns:
        head, body = tokenizer.encode(f"{turn.role}\n").ids, tokenizer.encode(turn.content).ids
        ids += [begin, *head, *body, end, *newline]
        mask += [0] * (1 + len(head)) + [int(turn.train)] * (len(body) + 1) + [0] * len(newline)
    return ids, mask


class StreamWriter:
    """Gathers documents and writes the three files of a token stream that `data` reads."""

    def __init__(self) -> None:
        self._ids: list[np.ndarray] = []
        self._mask: list[np.ndarray] = []

    def add(self, ids: list[int], mask: list[int]) -> None:
        """One document; mask 1 marks the tokens to be learnt."""
        if len(ids) != len(mask):
            raise ValueError(f"{len(ids)} ids with {len(mask)} mask entries")
        self._ids.append(np.asarray(ids, dtype=np.uint16))
        self._mask.append(np.asarray(mask, dtype=np.uint8))

    def write(self, folder: Path, name: str) -> int:
        """Writes NAME.ids.npy, NAME.mask.npy and NAME.starts.npy; gives the number of tokens."""
        folder.mkdir(parents=True, exist_ok=True)
        lengths = [len(ids) for ids in self._ids]
        starts = np.cumsum([0, *lengths], dtype=np.int64)[:-1]
        empty = np.empty(0)
        arrays = {
            "ids": np.concatenate([empty.astype(np.uint16), *self._ids]),
            "mask": np.concatenate([empty.astype(np.uint8), *self._mask]),
            "starts": starts,
        }
        for part, array in arrays.items():
            with (folder / f"{name}.{part}.npy.new").open("wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(folder / f"{name}.{part}.npy.new", folder / f"{name}.{part}.npy")
        return sum(lengths)
