"""Trains a small model from scratch: pre-training and fine-tuning are stages of one loop.

`python -m finetune.nano.train --size nano --data DIR --stage pretrain:NAME:LR:TOKENS --stage
sft:NAME:LR:TOKENS --out DIR` reads token streams (see `data`), appends its curve to
OUT/curve.jsonl, keeps OUT/checkpoint.safetensors (every --save-seconds, at Ctrl-C and when
--max-seconds are over; --resume goes on exactly there) and leaves a Hugging Face folder in OUT/hf.
Runs on one GPU in bfloat16, or on the processor: in float32 for trials, five times as fast with
`--precision bfloat16 --compile` where it multiplies in bfloat16 and there is a C++ compiler.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from mleagent.errors import InputError, MleagentError

from . import checkpoint, data
from .model import SIZES, Decoder, load_hf, save_hf
from .optimizer import MuonAdamW

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)


@dataclass(frozen=True)
class Stage:
    """One pass of the loop: which stream, at which peak learning rate, over how many tokens."""

    name: str
    stream: str
    lr: float
    tokens: float


@dataclass
class Options:
    """What a run does; the fields are the command's flags."""

    size: str
    data: Path
    out: Path
    stages: list[Stage]
    batch_tokens: int = 262_144
    context: int = 2048
    seed: int = 0
    warmup: float = 0.02
    final_lr: float = 0.05
    weight_decay: float = 0.1
    clip: float = 1.0
    held_out: float = 0.01
    log_every: int = 10
    eval_every: int = 200
    save_seconds: float = 60.0
    max_seconds: float = math.inf
    fit_seconds: float = 0.0
    init: Path | None = None
    """Hugging Face folder of an earlier run whose weights this one begins with."""
    resume: bool = False
    compile: bool | None = None
    """None: on a GPU only."""
    precision: str = ""
    """float32 or bfloat16; bfloat16 on a GPU and float32 elsewhere when left out."""
    bench: int = 0
    device: str = ""
    threads: int = 0

    def plan(self) -> str:
        """What must be the same for a checkpoint to be continued, as a hash."""
        kept = (
            "size",
            "batch_tokens",
            "context",
            "seed",
            "warmup",
            "final_lr",
            "weight_decay",
            "clip",
            "held_out",
        )
        streams = data.digest(self.data, [stage.stream for stage in self.stages])
        text = json.dumps([
            [getattr(self, name) for name in kept], [asdict(s) for s in self.stages], str(self.init or ""),
            streams,
        ])  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def learning_rate(progress: float, peak: float, warmup: float, final: float) -> float:
    """Linear warm-up over the first `warmup` of progress 0…1, then a cosine down to final · peak."""
    if progress < warmup:
        return peak * progress / warmup
    down = (progress - warmup) / max(1e-9, 1 - warmup)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, down))))


@dataclass
class _Loaded:
    """A stage's rows on the device with what is computed from their shape once."""

    train: data.Rows
    held: data.Rows | None
    tokens: float
    """To train on."""
    angles: Any = None
    held_angles: Any = None

    def steps(self, scale: float) -> int:
        """Updates that make up `scale` of the stage's tokens."""
        return max(1, math.ceil(scale * self.tokens / self.train.tokens))


@dataclass
class Run:
    """A training run: `go` does it all."""

    options: Options
    model: Decoder = field(init=False)
    stop: str = ""
    """Why the run ends early, set by a signal or by the clock."""
    plan: str = field(init=False, default="")
    """What a checkpoint must have been made with; known once it goes."""

    def __post_init__(self) -> None:
        name = self.options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(name)
        torch.set_float32_matmul_precision("high")
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        size = SIZES[self.options.size]
        begun = load_hf(self.options.init, size) if self.options.init else Decoder(size, self.options.seed)
        self.model = begun.to(self.device)
        gpu = self.device.type == "cuda"
        self.compiled = gpu if self.options.compile is None else self.options.compile
        self.half = (self.options.precision or ("bfloat16" if gpu else "float32")) == "bfloat16"
        if self.compiled:
            self.model.compile()
        self.started = time.monotonic()
        self.spent_before = 0.0
        self.tokens, self.scale = 0.0, 1.0
        self.saved_at = self.started

    @property
    def seconds(self) -> float:
        """Spent on this run, over all sittings."""
        return self.spent_before + time.monotonic() - self.started

    def go(self) -> bool:
        """Trains; True when all stages are done, False when it was stopped before."""
        at = self._resume()
        stages = [self._load(stage) for stage in self.options.stages]
        self.warm(stages[at.stage])
        if self.options.fit_seconds and not at.tokens:
            self.scale = self._fit(stages)
        for index in range(at.stage, len(stages)):
            optimizer = self._optimizer()
            step = at.step if index == at.stage else 0
            if step:
                checkpoint.load(self.path, self.model, optimizer)
            self._train(index, stages, optimizer, step)
            if self.stop:
                break
        self.export()
        return not self.stop

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.options.out / "checkpoint.safetensors"

    def _resume(self) -> checkpoint.Position:
        self.plan = self.options.plan()
        fresh = checkpoint.Position(0, 0, 0.0, 0.0, 1.0, self.plan)
        self.options.out.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return fresh
        if not self.options.resume:
            raise InputError(f"{self.path} is there: --resume goes on with it; delete it to begin anew")
        at = checkpoint.read_position(self.path)
        if at.plan != self.plan:
            raise InputError(f"{self.path} belongs to other settings or data; repeat them or delete it")
        checkpoint.load(self.path, self.model, self._optimizer())
        self.tokens, self.spent_before, self.scale = at.tokens, at.seconds, at.scale
        return at

    def _load(self, stage: Stage) -> _Loaded:
        options = self.options
        stream = data.read_stream(options.data, stage.stream, self.model.size.vocab)
        begins, lengths = data.cut(stream, options.context)
        if not len(begins):
            raise InputError(f"token stream {stage.stream} has no document with a token to train on")
        held = data.split(stream, begins, options.held_out, options.seed)
        make = (options.batch_tokens, options.seed, self.device)
        train = data.Rows(stream, begins[~held], lengths[~held], *make)
        check = data.Rows(stream, begins[held], lengths[held], *make) if held.any() else None
        loaded = _Loaded(train, check, stage.tokens)
        loaded.angles = self.model.angles(train.segments, self.device)
        loaded.held_angles = self.model.angles(check.segments, self.device) if check else None
        padded = sum(rows * width for rows, width in train.segments)
        self._say(
            f"{stage.name}: {train.count} rows, {loaded.steps(1.0)} steps of {train.tokens:.0f} tokens,"
            f" {padded / train.tokens - 1:.1%} padding, rows x width {train.segments}"
        )
        return loaded

    def _optimizer(self) -> MuonAdamW:
        return MuonAdamW(self.model, self.options.weight_decay, self.device.type == "cuda")

    def _train(self, index: int, stages: list[_Loaded], optimizer: MuonAdamW, step: int) -> None:
        options, stage, rows = self.options, self.options.stages[index], stages[index]
        steps, clock, logged = rows.steps(self.scale), time.monotonic(), step
        while step < steps:
            rate = learning_rate((step + 1) / steps, stage.lr, options.warmup, options.final_lr)
            loss = self._step(rows, step, optimizer, rate)
            step, self.tokens = step + 1, self.tokens + rows.train.tokens
            last = step == steps
            if step % options.log_every == 0 or last or step == 1:
                value = loss.item()  # waits for the device, so the clock below is true
                speed = (step - logged) * rows.train.tokens / max(1e-9, time.monotonic() - clock)
                held = self._held(rows) if step % options.eval_every == 0 or last else None
                self._log(stage, step, steps, rate, value, held, speed)
                clock, logged = time.monotonic(), step
            if self.seconds - self.spent_before > options.max_seconds and not self.stop:
                self.stop = f"{options.max_seconds:.0f} seconds are over"
            due = time.monotonic() - self.saved_at > options.save_seconds
            if self.stop or due or last:
                self._save(index, step, optimizer)
            if self.stop:
                return

    def _step(self, rows: _Loaded, step: int, optimizer: MuonAdamW, rate: float) -> torch.Tensor:
        """One update; gives the mean loss in nats a target, still on the device."""
        optimizer.set_rate(rate)
        batch = rows.train.batch(step)
        with self._autocast():
            total = self.model(batch.ids, batch.targets, batch.mask, rows.angles, rows.train.segments)
        loss: torch.Tensor = total / batch.mask.sum().clamp(min=1)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        optimizer.step()
        return loss.detach()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def warm(self, stage: _Loaded) -> None:
        """An update that changes nothing, to compile; a compiler that fails is left out from then on."""
        try:
            self._step(stage, 0, self._optimizer(), 0.0).item()
        except torch.OutOfMemoryError:
            raise InputError(f"no memory for --batch-tokens {self.options.batch_tokens}: lower it") from None
        except RuntimeError as error:
            if not self.compiled:
                raise
            self._say(f"torch.compile failed, going on without: {str(error).splitlines()[0]}")
            self.compiled = False
            self.model.plain()
            self.warm(stage)

    def bench(self, stage: _Loaded, steps: int) -> float:
        """Tokens a second (padding not counted) over `steps` updates at a learning rate of 0."""
        self.warm(stage)
        optimizer = self._optimizer()
        for step in range(3):
            self._step(stage, step, optimizer, 0.0).item()
        clock = time.monotonic()
        for step in range(steps):
            loss = self._step(stage, step, optimizer, 0.0)
        loss.item()
        return steps * stage.train.tokens / (time.monotonic() - clock)

    def _fit(self, stages: list[_Loaded]) -> float:
        """The part of all stages' tokens (1 at most) that there is time for in `fit_seconds`."""
        needed = sum(stage.tokens / self.bench(stage, 10) for stage in stages)
        left = 0.97 * (self.options.fit_seconds - self.seconds)
        self._say(f"all tokens need {needed:.0f} s, there are {left:.0f} s")
        return min(1.0, max(0.0, left) / needed)

    def _held(self, rows: _Loaded, batches: int = 2) -> float | None:
        """Mean loss in nats a target on held-out documents; None without any."""
        if rows.held is None:
            return None
        total = count = 0.0
        self.model.plain()  # other shapes: not worth compiling for
        for number in range(batches):
            batch = rows.held.batch(number)
            with torch.no_grad(), self._autocast():
                total += self.model(
                    batch.ids, batch.targets, batch.mask, rows.held_angles, rows.held.segments
                ).item()
            count += batch.mask.sum().item()
        if self.compiled:
            self.model.compile()
        return total / max(1.0, count)

    def _log(
        self, stage: Stage, step: int, steps: int, rate: float, loss: float, held: float | None, speed: float
    ) -> None:
        row = {
            "stage": stage.name, "step": step, "tokens": round(self.tokens), "lr": rate,
            "loss": round(loss, 5), "validation": None if held is None else round(held, 5),
            "tokens_per_s": round(speed),
            "seconds": round(self.seconds, 1),
        }  # fmt: skip
        with (self.options.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
            curve.write(json.dumps(row) + "\n")
        shown = "" if held is None else f" validation {held:.4f}"
        self._say(f"{stage.name} {step}/{steps} loss {loss:.4f}{shown} {speed / 1e3:.1f}k tokens/s")

    def _save(self, stage: int, step: int, optimizer: MuonAdamW) -> None:
        position = checkpoint.Position(stage, step, self.tokens, self.seconds, self.scale, self.plan)
        checkpoint.save(self.path, self.model, optimizer, position)
        self.saved_at = time.monotonic()

    def export(self) -> Path:
        """The Hugging Face folder in float16, with the tokenizer where the data folder holds one."""
        folder = self.options.out / "hf"
        save_hf(self.model, folder, torch.float16)
        for name in _TOKENIZER_FILES:
            if (self.options.data / name).is_file():
                shutil.copyfile(self.options.data / name, folder / name)
        return folder

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{self.seconds:7.1f}s {line}\n")


def parse_stage(text: str) -> Stage:
    """`NAME:STREAM:LR:TOKENS`, tokens as 300000, 2e8, 40k, 300M or 1.5G."""
    try:
        name, stream, lr, tokens = text.split(":")
        unit = {"k": 1e3, "M": 1e6, "G": 1e9}.get(tokens[-1:], 1.0)
        amount = float(tokens[:-1] if unit > 1 else tokens) * unit
        return Stage(name, stream, float(lr), amount)
    except ValueError:
        raise InputError(
            f"--stage {text!r}: it is NAME:STREAM:LEARNING_RATE:TOKENS, e.g. sft:expert:5e-4:40M"
        ) from None


def parser() -> argparse.ArgumentParser:
    """The command's flags; defaults are those of `Options`."""
    new = argparse.ArgumentParser(prog="python -m finetune.nano.train", description=__doc__)
    new.add_argument("--size", choices=sorted(SIZES), required=True)
    new.add_argument("--data", type=Path, required=True, help="folder of token streams (and tokenizer.json)")
    new.add_argument("--out", type=Path, required=True)
    new.add_argument("--stage", action="append", required=True, metavar="NAME:STREAM:LR:TOKENS")
    defaults = Options("", Path(), Path(), [])
    helped = {
        "batch_tokens": "tokens of an update, padding included", "context": "longest row in tokens",
        "seed": "", "warmup": "part of a stage", "final_lr": "part of the peak", "weight_decay": "",
        "clip": "largest norm of the gradient", "held_out": "part of the documents kept for validation",
        "log_every": "steps", "eval_every": "steps", "save_seconds": "between checkpoints",
        "max_seconds": "stop then, resumable", "device": "cuda or cpu; what there is when left out",
        "fit_seconds": "measure first, then train on as large a part of all tokens as fits",
        "threads": "of the processor; fewer are faster on a busy machine; torch's choice when left out",
        "bench": "only measure tokens/s over so many steps of each stage",
    }  # fmt: skip
    for name, text in helped.items():
        default = getattr(defaults, name)
        new.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=text)
    new.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.safetensors")
    new.add_argument("--init", type=Path, help="Hugging Face folder to begin with, instead of chance")
    new.add_argument("--precision", choices=("float32", "bfloat16"), default="")
    new.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None)
    return new


def main(arguments: list[str] | None = None) -> int:
    """0 all done · 2 bad input · 130 stopped before the end, resumable."""
    given = vars(parser().parse_args(arguments))
    try:
        options = Options(stages=[parse_stage(text) for text in given.pop("stage")], **given)
        run = Run(options)
        if options.bench:
            for stage in options.stages:
                speed = run.bench(run._load(stage), options.bench)
                print(json.dumps({"stage": stage.name, "tokens_per_s": round(speed)}))
            return 0
        signal.signal(signal.SIGINT, _stopper(run))
        done = run.go()
    except MleagentError as error:
        sys.stderr.write(f"train: {error}\n")
        return error.exit_code
    run._say(f"done, {run.tokens / 1e6:.1f}M tokens" if done else f"stopped: {run.stop}; --resume goes on")
    return 0 if done else 130


def _stopper(run: Run) -> Any:
    def stop(number: int, frame: FrameType | None) -> None:
        if run.stop:
            raise KeyboardInterrupt
        run.stop = "interrupted"

    return stop


if __name__ == "__main__":
    sys.exit(main())
