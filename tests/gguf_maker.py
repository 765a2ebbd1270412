"""Makes tiny GGUF models of the Qwen2 architecture, with Qwen2.5's chat template and special tokens.

`make_gguf(path)` has random weights (attention and all); `make_gguf(path, says="...")`
is a chain that, asked anything, says just that text and ends its turn: every token's
successor is fixed. Its text is spelled by tokens of its own, which no merge produces.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import gguf
import numpy as np

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<tool_call>", "</tool_call>")

QWEN_TEMPLATE = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""  # noqa: E501

MERGES = (
    "i m", "e r", "o n", "Ġ t", "Ġ a", "Ġt h", "Ġth e", "i n", "r e", "a t", "e n", "s t", "Ġ s", "u s",
    "us er", "Ċ Ċ", "Ġ Ġ", "ĠĠ ĠĠ", "a s", "i st", "as s", "ass ist", "a n", "an t", "assist ant", "y st",
    "yst e", "yste m",
)  # fmt: skip


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_ins = dict.fromkeys(plain)
    spare = iter(range(256, 512))
    return [chr(byte if byte in stand_ins else next(spare)) for byte in range(256)]


def vocabulary(says: str = "") -> list[str]:
    """Bytes, merges, the special tokens, then those that spell `says`; the position is the id."""
    merged = [merge.replace(" ", "") for merge in MERGES]
    own = [_spelled(chunk) for chunk in _chunks(says)]
    return [*byte_alphabet(), *merged, *SPECIAL, *USER_DEFINED, *own]


def make_gguf(
    path: Path,
    *,
    says: str = "",
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    n_ctx: int = 512,
    seed: int = 0,
    template: str = QWEN_TEMPLATE,
    style: str = "",
    half: bool = False,
    split: int = 0,
) -> Path:
    """Write the model to `path` and return it; `style` is the kind of prompts it says it was made for.

    With `half` its matrices are in 16 bits, as models are shipped. With `split` it lies in parts of so many
    tensors, as llama-gguf-split --no-tensor-first-split makes them: the first, returned, has none.
    """
    tokens = vocabulary(says)
    writer = gguf.GGUFWriter(str(path), "qwen2", split_max_tensors=split, small_first_shard=bool(split))
    _write_metadata(writer, tokens, width, layers, heads, n_ctx, template)
    if style:
        writer.add_string("mleagent.prompt_style", style)
    weights = (
        _chain_weights(tokens, says, layers)
        if says
        else _random_weights(len(tokens), width, layers, heads, seed)
    )
    for name, values in weights.items():
        kind = np.float16 if half and values.ndim == 2 else np.float32
        writer.add_tensor(name, np.ascontiguousarray(values, dtype=kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return next(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if split else path


def _write_metadata(
    writer: gguf.GGUFWriter, tokens: list[str], width: int, layers: int, heads: int, n_ctx: int, template: str
) -> None:
    width = width or len(tokens)
    writer.add_name("tiny")
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads // 2)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for name in SPECIAL:
        kinds[tokens.index(name)] = gguf.TokenType.CONTROL
    for name in USER_DEFINED:
        kinds[tokens.index(name)] = gguf.TokenType.USER_DEFINED
    writer.add_token_types(kinds)
    writer.add_token_merges(list(MERGES))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)


def _random_weights(vocab: int, width: int, layers: int, heads: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    kv = width // 2

    def normal(*shape: int, scale: float = 0.0) -> np.ndarray:
        return rng.normal(size=shape) * (scale or shape[-1] ** -0.5)

    weights = {"token_embd.weight": normal(vocab, width, scale=1.0), "output_norm.weight": np.ones(width)}
    weights["output.weight"] = normal(vocab, width, scale=0.2)
    for i in range(layers):
        shapes = {
            "attn_q": (width, width), "attn_k": (kv, width), "attn_v": (kv, width),
            "attn_output": (width, width), "ffn_gate": (2 * width, width), "ffn_up": (2 * width, width),
            "ffn_down": (width, 2 * width),
        }  # fmt: skip
        weights |= {f"blk.{i}.{name}.weight": normal(*shape) for name, shape in shapes.items()}
        weights |= {
            f"blk.{i}.{name}.bias": normal(shapes[name][0], scale=0.1)
            for name in ("attn_q", "attn_k", "attn_v")
        }
        weights |= {f"blk.{i}.{name}.weight": np.ones(width) for name in ("attn_norm", "ffn_norm")}
    return weights


def _chain_weights(tokens: list[str], says: str, layers: int, width: int = 64) -> dict[str, np.ndarray]:
    """Layers that add nothing; the output of token i points at its successor only."""
    own = len(_chunks(says))
    order = [tokens.index("Ċ"), *range(len(tokens) - own, len(tokens)), tokens.index("<|im_end|>")]
    weights = _random_weights(len(tokens), width, layers, 4, 0)
    for name in weights:
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            weights[name] = np.zeros_like(weights[name])
    embedding = weights["token_embd.weight"]
    embedding /= np.sqrt((embedding**2).mean(axis=1, keepdims=True))
    output = np.zeros_like(embedding)
    for token, successor in itertools.pairwise(order):
        output[successor] += embedding[token]
    weights["output.weight"] = output
    return weights


def _chunks(text: str) -> list[str]:
    """Cuts of about four characters, all different: each grows until it is a new one."""
    chunks: list[str] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end - start >= 4 and text[start:end] not in chunks:
            chunks.append(text[start:end])
            start = end
    if text[start:]:  # the rest joins the last chunk: alone it might be one of the others
        chunks = [*chunks[:-1], (chunks or [""])[-1] + text[start:]]
    return chunks


def _spelled(text: str) -> str:
    """Text in GPT-2's printable stand-ins."""
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in text.encode())


def make_lora(
    path: Path,
    *,
    width: int = 64,
    layers: int = 2,
    rank: int = 4,
    size: float = 1.0,
    seed: int = 0,
    architecture: str = "qwen2",
) -> Path:
    """Write a random LoRA adapter for `make_gguf`'s model, on q and v; size 0 changes nothing."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(layers):
        for name, out in (("attn_q", width), ("attn_v", width // 2)):
            a = rng.normal(size=(rank, width)) * width**-0.5
            b = rng.normal(size=(out, rank)) * size
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a.astype(np.float32))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
