"""A byte-level BPE tokenizer of Hugging Face as the metadata that llama.cpp tokenizes by.

Takes a model folder's tokenizer.json and tokenizer_config.json, writes `tokenizer.*` keys. llama.cpp
knows the ways to split text by name only, so the pattern in the file is recognised, never guessed:
an unknown one is refused, since a model that sees other tokens than it was trained on is worthless.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gguf

from mleagent.errors import InputError

from .gguf_folder import Folder

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_PATTERNS = {_QWEN2: "qwen2", _LLAMA3: "llama-bpe"}


def add_tokenizer(writer: gguf.GGUFWriter, folder: Folder, vocab_size: int) -> None:
    """Writes vocabulary, merges, special ids and chat template.

    A model whose embedding has more rows than the tokenizer has tokens gets unused ones.
    Raises InputError for a tokenizer that isn't byte-level BPE or splits text in an unknown way.
    """
    told = folder.json("tokenizer.json", needed=True)
    settings = folder.json("tokenizer_config.json")
    tokens, kinds = _vocabulary(folder, told, vocab_size)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in told["model"]["merges"]]
    if not merges:
        raise InputError(f"{folder.path}/tokenizer.json has no merges; llama.cpp can't use it")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre(folder, told))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    ids = {token: number for number, token in enumerate(tokens)}
    _add_special(writer, folder, settings, ids)
    writer.add_add_bos_token(_begins_with_bos(told, settings))
    template = folder.text("chat_template.jinja") or settings.get("chat_template") or ""
    if isinstance(template, list):  # several named ones
        template = next((one["template"] for one in template if one["name"] == "default"), "")
    if template:
        writer.add_chat_template(template)


def _vocabulary(
    folder: Folder, told: dict[str, Any], vocab_size: int
) -> tuple[list[str], list[gguf.TokenType]]:
    model = told.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise InputError(f"{folder.path}/tokenizer.json: only byte-level BPE tokenizers can be exported")
    added = {item["id"]: item for item in told.get("added_tokens") or ()}
    named = {number: token for token, number in model["vocab"].items()}
    named |= {number: item["content"] for number, item in added.items()}
    if max(named) >= vocab_size:
        raise InputError(
            f"{folder.path}: the tokenizer has token {max(named)}, the model only {vocab_size} of them"
        )
    tokens, kinds = [], []
    for number in range(vocab_size):
        item = added.get(number)
        if number not in named or (item and item["content"].startswith("<|unused_")):
            kinds.append(gguf.TokenType.UNUSED)
        elif item:
            kinds.append(gguf.TokenType.CONTROL if item["special"] else gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.NORMAL)
        tokens.append(named.get(number, f"[PAD{number}]"))
    return tokens, kinds


def _pre(folder: Folder, told: dict[str, Any]) -> str:
    """llama.cpp's name for how the text is split before merging."""
    parts = list(_flat(told.get("pre_tokenizer") or {}))
    patterns = [part["pattern"].get("Regex", "") for part in parts if part["type"] == "Split"]
    byte_level = [part for part in parts if part["type"] == "ByteLevel"]
    kinds = {part["type"] for part in parts}
    if len(patterns) == 1 and patterns[0] in _PATTERNS and kinds == {"Split", "ByteLevel"}:
        return _PATTERNS[patterns[0]]
    if kinds == {"ByteLevel"} and byte_level[0].get("use_regex", True):
        return "gpt-2"
    if kinds == {"ByteLevel", "Digits"} and byte_level[0].get("use_regex", True):
        return "smollm"
    raise InputError(f"{folder.path}/tokenizer.json splits text in a way llama.cpp has no name for here")


def _flat(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if part.get("type") == "Sequence":
        for inner in part.get("pretokenizers") or part.get("processors") or ():
            yield from _flat(inner)
    elif part:
        yield part


def _add_special(
    writer: gguf.GGUFWriter, folder: Folder, settings: dict[str, Any], ids: dict[str, int]
) -> None:
    generation = folder.json("generation_config.json")
    setters = {
        "bos_token": writer.add_bos_token_id,
        "eos_token": writer.add_eos_token_id,
        "pad_token": writer.add_pad_token_id,
    }
    for name, put in setters.items():
        token = settings.get(name)
        token = token["content"] if isinstance(token, dict) else token
        number: Any = ids.get(token) if token else None
        for config in (generation, folder.config):
            known = config.get(f"{name}_id") if number is None else number
            number = known[0] if isinstance(known, list) and known else known
        if isinstance(number, int):
            put(number)
        elif name == "eos_token":
            raise InputError(f"{folder.path} names no eos_token; set it in tokenizer_config.json")


def _begins_with_bos(told: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether the tokenizer puts its first token before a text unasked."""
    for part in _flat(told.get("post_processor") or {}):
        if part["type"] == "TemplateProcessing":
            return bool(part["single"]) and "SpecialToken" in part["single"][0]
    return bool(settings.get("add_bos_token", False))
