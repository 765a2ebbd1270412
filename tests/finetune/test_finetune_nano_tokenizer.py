"""The small models' tokenizer: deterministic, lossless, and the one transformers loads as Qwen2's."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tokenizers = pytest.importorskip("tokenizers")

from finetune.nano import tokenizer as nano_tokenizer  # noqa: E402

TEXTS = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]


@pytest.fixture(scope="module")
def trained() -> tokenizers.Tokenizer:
    return nano_tokenizer.train(TEXTS)


def test_same_texts_same_file(trained: tokenizers.Tokenizer) -> None:
    assert nano_tokenizer.train(TEXTS).to_str() == trained.to_str()


def test_vocabulary_is_full_and_ends_in_qwen2s_special_tokens(trained: tokenizers.Tokenizer) -> None:
    assert trained.get_vocab_size() == 2048
    assert [trained.token_to_id(text) for text in nano_tokenizer.SPECIAL] == [2045, 2046, 2047]
    few = nano_tokenizer.train(["ab ab abc"])
    assert few.get_vocab_size() == 2048 and few.token_to_id("<|im_end|>") == 2047


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_text_comes_back(trained: tokenizers.Tokenizer, text: str) -> None:
    assert trained.decode(trained.encode(text).ids, skip_special_tokens=False) == unicodedata.normalize(
        "NFC", text
    )


def test_transformers_loads_it(trained: tokenizers.Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    nano_tokenizer.save(trained, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "Qwen2Tokenizer" and len(theirs) == 2048
    assert (theirs.eos_token, theirs.pad_token) == ("<|im_end|>", "<|endoftext|>")
    messages = [{"role": "system", "content": "Solve."}, {"role": "user", "content": "x = 12"}]
    chat = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert chat.startswith("<|im_start|>system\nSolve.<|im_end|>\n")
    assert chat.endswith("<|im_start|>user\nx = 12<|im_end|>\n<|im_start|>assistant\n")
    assert theirs(chat).input_ids == nano_tokenizer.load(tmp_path).encode(chat).ids


def test_a_stream_is_written_as_it_is_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from finetune.nano.data import read_stream

    writer = nano_tokenizer.StreamWriter()
    writer.add([1, 2, 3], [0, 1, 1])
    writer.add([4, 2047], [1, 0])
    assert writer.write(tmp_path, "chat") == 5
    stream = read_stream(tmp_path, "chat+chat", 2048)
    assert stream.ids.tolist() == [1, 2, 3, 4, 2047] * 2 and stream.mask.tolist() == [0, 1, 1, 1, 0] * 2
    assert stream.starts.tolist() == [0, 3, 5, 8, 10]
    assert np.load(tmp_path / "chat.ids.npy").dtype == np.uint16
