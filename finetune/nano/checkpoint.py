"""Checkpoints of a training run: one safetensors file, written whole or not at all.

Holds weights, what the optimizer remembers of each and, as text in its header, where in which stage the run
stands. No pickle, so a checkpoint from elsewhere can be read without trusting it; what a batch
holds follows from the step, so no random state needs keeping.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mleagent.errors import InputError

from .model import Decoder
from .optimizer import MuonAdamW


@dataclass(frozen=True)
class Position:
    """Where a run stands."""

    stage: int
    step: int
    """Steps of this stage that are done."""
    tokens: float
    """Trained on so far, over all stages."""
    seconds: float
    """Spent so far, over all sittings."""
    scale: float
    """Part of the planned tokens that this run trains on, so as to end in time."""
    plan: str
    """The run's plan as text; a checkpoint continues no other."""


def save(path: Path, model: Decoder, optimizer: MuonAdamW, position: Position) -> None:
    """Writes beside `path`, then takes its place."""
    tensors: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        tensors[f"weight/{name}"] = weight.detach().to("cpu", copy=True)
        for key, value in optimizer.state_of(weight).items():
            tensors[f"{key}/{name}"] = value.detach().to("cpu", copy=True)
    new = path.with_name(path.name + ".new")
    save_file(tensors, new, metadata={"position": json.dumps(asdict(position))})
    with new.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(new, path)


def read_position(path: Path) -> Position:
    """Raises InputError when the file is no checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            return Position(**json.loads(file.metadata()["position"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no checkpoint of this program ({error}); delete it to begin anew"
        ) from None


def load(path: Path, model: Decoder, optimizer: MuonAdamW) -> None:
    """Puts weights and the optimizer's memory back, in place; InputError when they are another model's."""
    with safe_open(path, framework="pt") as file:
        held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no mapping)
    for name, weight in model.named_parameters():
        saved = held.get(f"weight/{name}")
        if saved is None or saved.shape != weight.shape:
            raise InputError(f"{path} holds a model of another size; name its --size or delete it")
        with torch.no_grad():
            weight.copy_(saved)
        state = {key.partition("/")[0]: value for key, value in held.items() if key.endswith(f"/{name}")}
        del state["weight"]
        if state:
            optimizer.put_state(weight, state)
