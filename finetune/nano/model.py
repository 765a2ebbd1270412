"""The small decoder that is trained from scratch: Qwen2's architecture in plain torch, made for speed.

Takes token ids of many documents laid end to end in rows of a few fixed widths (`Segments`) and
gives the loss; weights carry the names of Hugging Face's Qwen2ForCausalLM, so `save_hf` writes a
folder that transformers, and through it the GGUF export, reads as any Qwen2. Transformers' own
forward pads or masks; here only attention knows of rows, all else is flat, which one GPU likes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Segments = tuple[tuple[int, int], ...]
"""(rows, width) blocks that follow each other in a flat batch; a document never leaves its row."""


@dataclass(frozen=True)
class Size:
    """Dimensions of a model; `parameters` counts what a file of it holds (embeddings are tied)."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int = 2048
    context: int = 4096
    rope_theta: float = 10000.0
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def parameters(self) -> int:
        """Number of weights."""
        kv = self.kv_heads * self.head_dim
        attention = self.hidden * (2 * self.hidden + 2 * kv) + self.hidden + 2 * kv
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.vocab * self.hidden + self.layers * layer + self.hidden


SIZES = {
    "nano": Size(hidden=256, layers=6, heads=4, kv_heads=2, intermediate=640),
    "quarter": Size(hidden=128, layers=4, heads=4, kv_heads=2, intermediate=384),
    "tiny": Size(hidden=32, layers=2, heads=2, kv_heads=1, intermediate=64, context=512),
}
"""`tiny` is for tests and for trying a recipe out; it is never shipped."""


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in float32 (Zhang & Sennrich 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Gives x, of any shape (..., width), normed."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class Attention(nn.Module):
    """The projections of grouped-query attention; the attention itself is `attend`."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        kv = size.kv_heads * size.head_dim
        self.q_proj = nn.Linear(size.hidden, size.hidden)
        self.k_proj = nn.Linear(size.hidden, kv)
        self.v_proj = nn.Linear(size.hidden, kv)
        self.o_proj = nn.Linear(size.hidden, size.hidden, bias=False)


class MLP(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.hidden, size.intermediate, bias=False)
        self.up_proj = nn.Linear(size.hidden, size.intermediate, bias=False)
        self.down_proj = nn.Linear(size.intermediate, size.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, hidden) to (N, hidden)."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer in two halves around attention, so that each half compiles on its own."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.head_dim = size.head_dim
        self.self_attn = Attention(size)
        self.mlp = MLP(size)
        self.input_layernorm = RMSNorm(size.hidden, size.eps)
        self.post_attention_layernorm = RMSNorm(size.hidden, size.eps)

    def before(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys (both turned by their positions) and values: (N, heads, head_dim) each."""
        x = self.input_layernorm(x)
        q, k, v = self.self_attn.q_proj(x), self.self_attn.k_proj(x), self.self_attn.v_proj(x)
        q, k, v = (t.view(t.shape[0], -1, self.head_dim) for t in (q, k, v))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def after(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The residual stream (N, hidden) after attention's result and the feed-forward."""
        x = x + self.self_attn.o_proj(mixed)
        return x + self.mlp(self.post_attention_layernorm(x))  # type: ignore[no-any-return]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in the half-split layout of Hugging Face (RoFormer, Su et al. 2021)."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * cos + turned * sin).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Causal attention within each row; (N, heads, head_dim) to (N, hidden).

    A row holds one document from its left end, so causality alone keeps padding out.
    """
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    sizes = [rows * width for rows, width in segments]
    mixed = []
    # split, not slices: a slice's gradient is a whole batch of zeros with the slice filled in
    for (rows, width), *parts in zip(segments, *(torch.split(t, sizes) for t in (q, k, v)), strict=True):
        a, b, c = (t.view(rows, width, *t.shape[1:]).transpose(1, 2) for t in parts)
        out = F.scaled_dot_product_attention(a, b, c, is_causal=True)
        mixed.append(out.transpose(1, 2).reshape(rows * width, -1))
    return torch.cat(mixed)


def head_loss(x: Tensor, embedding: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Summed cross entropy in nats of the targets (N,) whose mask is not zero."""
    losses = F.cross_entropy(F.linear(x, embedding).float(), targets, reduction="none")
    return (losses * mask).sum()


class Body(nn.Module):
    """What Hugging Face calls `model.`: embeddings, layers, last norm."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(size.vocab, size.hidden)
        self.layers = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = RMSNorm(size.hidden, size.eps)


class Decoder(nn.Module):
    """Qwen2 with tied embeddings; parameters are named as in Hugging Face's."""

    def __init__(self, size: Size, seed: int = 0) -> None:
        super().__init__()
        self.size = size
        self.model = Body(size)
        self._before: Callable[..., Any] = Block.before
        self._after: Callable[..., Any] = Block.after
        self._loss: Callable[..., Any] = head_loss
        self._begin(torch.Generator().manual_seed(seed))

    def _begin(self, generator: torch.Generator) -> None:
        """Normal(0, 0.02); what writes to the residual stream is scaled by depth (GPT-2)."""
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif weight.dim() == 2:
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = 0.02 / (2 * self.size.layers) ** 0.5 if last else 0.02
                nn.init.normal_(weight, std=std, generator=generator)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles the parts around attention: three small graphs that all layers share."""
        self._before = torch.compile(Block.before, dynamic=False)
        self._after = torch.compile(Block.after, dynamic=False)
        self._loss = torch.compile(head_loss, dynamic=False)

    def plain(self) -> None:
        """Undoes `compile`."""
        self._before, self._after, self._loss = Block.before, Block.after, head_loss

    def angles(self, segments: Segments, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosines and sines of each token's position in its row, (N, 1, head_dim)."""
        positions = torch.cat([torch.arange(width).repeat(rows) for rows, width in segments])
        half = torch.arange(0, self.size.head_dim, 2, dtype=torch.float64) / self.size.head_dim
        turns = positions[:, None] * self.size.rope_theta**-half
        turns = torch.cat((turns, turns), dim=-1)[:, None, :]
        return turns.cos().float().to(device), turns.sin().float().to(device)

    def hidden(self, ids: Tensor, angles: tuple[Tensor, Tensor], segments: Segments) -> Tensor:
        """The last layer's normed output, (N, hidden), of flat ids (N,)."""
        x = self.model.embed_tokens(ids)
        for block in self.model.layers:
            q, k, v = self._before(block, x, *angles)
            x = self._after(block, x, attend(q, k, v, segments))
        return self.model.norm(x)  # type: ignore[no-any-return]

    def forward(
        self, ids: Tensor, targets: Tensor, mask: Tensor, angles: tuple[Tensor, Tensor], segments: Segments
    ) -> Tensor:
        """Summed loss in nats over the targets (N,) that count."""
        x = self.hidden(ids, angles, segments)
        return self._loss(x, self.model.embed_tokens.weight, targets, mask)  # type: ignore[no-any-return]

    def logits(self, ids: Tensor) -> Tensor:
        """(T, vocab) of one document of T ids: for tests and a look at what was learnt."""
        segments = ((1, len(ids)),)
        x = self.hidden(ids, self.angles(segments, ids.device), segments)
        return F.linear(x, self.model.embed_tokens.weight).float()


def config(size: Size, dtype: str) -> dict[str, Any]:
    """What `config.json` says; special ids are those of `nano.tokenizer`."""
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": size.vocab,
        "hidden_size": size.hidden, "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers, "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads, "hidden_act": "silu", "rms_norm_eps": size.eps,
        "max_position_embeddings": size.context, "rope_theta": size.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": size.rope_theta},
        "tie_word_embeddings": True, "use_sliding_window": False, "attention_dropout": 0.0,
        "initializer_range": 0.02, "use_cache": True, "torch_dtype": dtype, "dtype": dtype,
        "bos_token_id": None, "eos_token_id": size.vocab - 1, "pad_token_id": size.vocab - 3,
    }  # fmt: skip


def save_hf(model: Decoder, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Writes config.json, generation_config.json and model.safetensors; each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    name = str(dtype).removeprefix("torch.")
    ids = {"eos_token_id": [model.size.vocab - 1, model.size.vocab - 3], "pad_token_id": model.size.vocab - 3}
    _write(folder / "config.json", config(model.size, name))
    _write(folder / "generation_config.json", {"do_sample": True, "temperature": 1.0, **ids})
    weights = {k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors.new", metadata={"format": "pt"})
    os.replace(folder / "model.safetensors.new", folder / "model.safetensors")


def load_hf(folder: Path, size: Size) -> Decoder:
    """The model of a folder that `save_hf` wrote, in float32; raises on any other shape."""
    model = Decoder(replace(size))
    model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return model


def _write(path: Path, content: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(new, path)
