"""The optimizer of the small models: Muon for the layers' matrices, AdamW for all other weights.

Muon (Jordan et al. 2024; here torch's own) makes each matrix's update orthogonal, which needs far fewer
tokens for the same loss on so small a model; embeddings, biases and norms are AdamW's as usual. Both take the
same learning rate, since Muon's updates are scaled to the size AdamW's have (Liu et al. 2025, "Muon is
scalable for LLM training").
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .model import Decoder


class MuonAdamW:
    """Two optimizers that look like one to the loop and to its checkpoints."""

    def __init__(self, model: Decoder, weight_decay: float, fused: bool) -> None:
        """`fused` is AdamW's way on a GPU."""
        layers = [p for p in model.model.layers.parameters() if p.dim() == 2]
        embedding = [model.model.embed_tokens.weight]
        narrow = [p for p in model.parameters() if p.dim() != 2]
        groups = [
            {"params": embedding, "weight_decay": weight_decay},
            {"params": narrow, "weight_decay": 0.0},
        ]
        muon = torch.optim.Muon(layers, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        adam = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=fused)
        self._parts: tuple[torch.optim.Optimizer, ...] = (muon, adam)
        self._fused = fused
        self._muon_s = {id(weight) for weight in layers}

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        """One update; gradients are dropped."""
        for part in self._parts:
            part.step()
            part.zero_grad(set_to_none=True)

    def state_of(self, weight: Tensor) -> dict[str, Tensor]:
        """What is remembered of a weight, by name; empty before the first step."""
        part = self._parts[0 if id(weight) in self._muon_s else 1]
        return {key: value for key, value in part.state.get(weight, {}).items() if torch.is_tensor(value)}

    def put_state(self, weight: Tensor, state: dict[str, Any]) -> None:
        """Takes back what `state_of` gave; steps are counted beside the processor unless fused."""
        part = self._parts[0 if id(weight) in self._muon_s else 1]
        part.state[weight] = {
            key: value.to("cpu" if key == "step" and not self._fused else weight.device)
            for key, value in state.items()
        }
