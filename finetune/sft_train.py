"""LoRA training of a base on masked sequences: transformers' Trainer with a loss of our own.

Takes the base's GGUF, `Sequences`, a `Recipe`, and a folder for checkpoints; gives the trained model with
its loss before and after. One sequence a forward pass, several an update; logits are computed only where a
token is learnt, which with a large vocabulary is most of the memory. Checkpoints are whole or not counted,
and a run goes on from the last one as if it had never ended.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from mleagent import clock
from mleagent.errors import UnavailableError

from .sft_fit import LINEAR, Fit
from .sft_tokens import Sequence, Sequences

SAVE_S = 120.0
"""Seconds between checkpoints."""
_SAY_S = 10.0
_WHOLE = "whole"
"""A file in a checkpoint's folder that is written last."""


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    rank: int = 16
    alpha: int = 32
    lr: float = 3e-4
    epochs: float = 2.0
    batch: int = 8
    """Sequences an update."""
    longest: int = 4096
    """Tokens of a sequence at most."""
    seed: int = 0

    def words(self) -> dict[str, str]:
        """As provenance keeps it."""
        return {key: str(value) for key, value in asdict(self).items()}


@dataclass
class Trained:
    """A trained model."""

    model: Any
    """The peft model, its adapter on."""
    before: float
    """Loss in nats a learnt token: held-out sequences where there are enough, else those trained on."""
    after: float
    held_out: bool
    updates: int
    seconds: float
    """Spent in this sitting."""


class Stopped(Exception):
    """The run ended early; its checkpoint is kept."""

    def __init__(self, why: str, done: int, updates: int) -> None:
        super().__init__(f"{why} after update {done} of {updates}")
        self.interrupted = why == "interrupted"


def updates_of(data: Sequences, recipe: Recipe) -> int:
    """How many updates the run makes, held-out sequences left aside."""
    return math.ceil(math.ceil(len(part(data)[0]) / recipe.batch) * recipe.epochs)


def part(data: Sequences) -> tuple[list[Sequence], list[Sequence]]:
    """To train on and held out: the sequences of every tenth source, none below ten sources."""
    sources = list(dict.fromkeys(one.source for one in data.found))
    held = set(sources[9::10])
    return [s for s in data.found if s.source not in held], [s for s in data.found if s.source in held]


def train(
    base: Path, data: Sequences, recipe: Recipe, fit: Fit, folder: Path,
    say: Callable[[str], None], max_seconds: float = math.inf,
) -> Trained:  # fmt: skip
    """Train in `folder`, from its last whole checkpoint if there is one. Raises Stopped, MleagentError."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # peft's calls, not ours
    started = clock.monotonic()
    import torch

    from .sft_trainer import lora_on, loss_of, trainer_of

    model = lora_on(base, recipe, fit, LINEAR)
    learn, held = part(data)
    judged = (held or learn)[:32]
    before = _before(folder, lambda: loss_of(model, judged))
    watch = Watch(folder, say, started, max_seconds)
    trainer = trainer_of(model, learn, recipe, fit, folder, watch)
    with _interruptible(watch):
        last = last_checkpoint(folder)
        try:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        except torch.OutOfMemoryError:
            raise UnavailableError(f"no memory left on the {fit.device}; a smaller --max-tokens") from None
    state = trainer.state
    if watch.why:
        raise Stopped(watch.why, state.global_step, state.max_steps)
    model.eval()
    after = loss_of(model, judged)
    return Trained(model, before, after, bool(held), state.global_step, clock.monotonic() - started)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    found = {
        int(one.parent.name.rpartition("-")[2]): one.parent for one in folder.glob(f"checkpoint-*/{_WHOLE}")
    }
    return found[max(found)] if found else None


def _before(folder: Path, measure: Callable[[], float]) -> float:
    """The untrained loss, measured once a run and kept."""
    path = folder / "before.json"
    if path.exists():
        return float(json.loads(path.read_text(encoding="utf-8")))
    value = measure()
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value), encoding="utf-8")
    os.replace(new, path)
    return value


class Watch:
    """Follows a run: says how it goes, has checkpoints written, ends it when it must."""

    def __init__(self, folder: Path, say: Callable[[str], None], started: float, max_seconds: float) -> None:
        self._folder, self._say = folder, say
        self._started, self._max = started, max_seconds
        self._said, self._saved, self._first = -math.inf, clock.monotonic(), -1
        self._began = 0.0
        self.why = ""
        """Why the run ends early; empty while it need not."""

    def begin(self, done: int, updates: int) -> None:
        """The first update of this sitting is about to begin."""
        self._first, self._began = done, clock.monotonic()
        if done:
            self._say(f"going on at update {done} of {updates}")

    def step(self, done: int, updates: int) -> tuple[bool, bool]:
        """After an update: whether to stop, whether to write a checkpoint."""
        now, last = clock.monotonic(), done >= updates
        if now - self._started > self._max and not self.why and not last:
            self.why = f"{self._max / 60:g} minutes are over"
        stop = bool(self.why) and not last
        if last:
            self.why = ""  # it is done all the same
        save = stop or last or now - self._saved > SAVE_S
        if save:
            self._saved = now
        return stop, save

    def log(self, done: int, updates: int, loss: float) -> None:
        """The loss of the last update, in nats a learnt token."""
        now = clock.monotonic()
        with (self._folder / "curve.jsonl").open("a", encoding="utf-8") as curve:
            curve.write(json.dumps({"update": done, "loss": round(loss, 5)}) + "\n")
        if now - self._said >= _SAY_S or done >= updates:
            self._said = now
            left = (now - self._began) / max(1, done - self._first) * (updates - done)
            self._say(f"update {done} of {updates} · loss {loss:.3f} · {_time(left)} left")

    @staticmethod
    def whole(checkpoint: Path) -> None:
        """Mark a checkpoint as written to its end."""
        for file in checkpoint.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        (checkpoint / _WHOLE).touch()


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@contextmanager
def _interruptible(watch: Watch) -> Iterator[None]:
    """The first Ctrl-C ends the run after the update at hand, the second at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(_number: int, _frame: FrameType | None) -> None:
        watch.why = "interrupted"
        signal.signal(signal.SIGINT, before)
        sys.stderr.write("\nstopping after this update; Ctrl-C again leaves at once\n")

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
