"""The whole recipe of the bundled models, from nothing to GGUF files, as one resumable command.

`python -m finetune.nano --out DIR` explores tasks (real executions), writes drafts, trains the tokenizer,
then both models, and releases them as `DIR/*.gguf` with `DIR/recipe.json`: commands, seeds, corpus hashes,
versions, last losses. Each stage goes on where it was stopped; `--smoke` is the same in a few minutes, for
tests, and what it leaves is of no use.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mleagent import clock

_LIBRARIES = ("torch", "tokenizers", "numpy", "scikit-learn", "pandas", "gguf", "llama-cpp-python")


@dataclass(frozen=True)
class Scale:
    """How much of everything; token counts as `train` reads them."""

    explored: int
    """Tasks explored with executions, from seed 1000."""
    drafted: int
    """Tasks drafted for without, from seed 10,000."""
    models: tuple[tuple[str, str, str, str], ...]
    """(file, size, pre-training stage, fine-tuning stage)."""
    flags: tuple[str, ...]


FULL = Scale(
    236, 2135,
    (
        ("mleagent-nano", "nano", "pretrain:pretrain:5e-3:12M", "sft:sft:2.5e-3:8M"),
        ("mleagent-nano-quarter", "quarter", "pretrain:pretrain:7e-3:10M", "sft:sft:3.5e-3:8M"),
    ),
    ("--batch-tokens", "8192", "--context", "4096", "--warmup", "0.05", "--eval-every", "200"),
)  # fmt: skip
SMOKE = Scale(
    1, 3,
    (("smoke", "tiny", "pretrain:pretrain:3e-3:20k", "sft:sft:1e-3:20k"),),
    ("--batch-tokens", "4096", "--context", "512", "--threads", "1"),
)  # fmt: skip


def commands(scale: Scale, out: Path, sandbox: str, seed: int, more: Sequence[str]) -> list[list[str]]:
    """Every stage as the arguments of `python -m`, in order."""
    sessions, drafts, streams = out / "explore.jsonl", out / "drafts.jsonl", out / "streams"
    told = ["--sandbox", sandbox, "--out", str(sessions)]
    found = [
        ["finetune.explore", "--tasks", str(scale.explored), "--from", "1000", "--count", "18", *told],
        ["finetune.nano.corpus", "drafts", "--tasks", str(scale.drafted), "--drafts", str(drafts)],
        ["finetune.nano.corpus", "streams", "--drafts", str(drafts), "--sessions", str(sessions), "--out",
         str(streams)],
    ]  # fmt: skip
    for name, size, first, second in scale.models:
        run = out / size
        found.append([
            "finetune.nano.train", "--size", size, "--data", str(streams), "--out", str(run),
            "--stage", first, "--stage", second, "--seed", str(seed), *scale.flags, *more, "--resume",
        ])  # fmt: skip
        found.append(["finetune.nano.release", str(run / "hf"), str(out / f"{name}.gguf"), "--name", name])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all stages are done; else what the stage that failed or was stopped gave."""
    parser = argparse.ArgumentParser(prog="python -m finetune.nano", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--smoke", action="store_true", help="everything, in a few minutes, of no use")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options, more = parser.parse_known_args(arguments)
    scale = SMOKE if options.smoke else FULL
    options.out.mkdir(parents=True, exist_ok=True)
    home = {**os.environ, "MLEAGENT_HOME": str(options.out / "home")}
    told, seconds = [], []
    for command in commands(scale, options.out, options.sandbox, options.seed, more):
        told.append(shlex.join(["python", "-m", *command]))
        print(f"== {told[-1]}", file=sys.stderr, flush=True)
        started = clock.monotonic()
        status = _run([sys.executable, "-W", "ignore", "-m", *command], home)
        seconds.append(round(clock.monotonic() - started, 1))
        if status:
            print(f"stopped at this stage; the same command goes on: {told[-1]}", file=sys.stderr)
            return status
    recipe = {
        "commands": told,
        "seconds_of_the_last_sitting": seconds,
        "seed": options.seed,
        "corpus": json.loads((options.out / "streams" / "corpus.json").read_text(encoding="utf-8")),
        "curves": {size: _last(options.out / size / "curve.jsonl") for _, size, *_ in scale.models},
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in _LIBRARIES}},
    }
    (options.out / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    print(f"done: {options.out}", file=sys.stderr)
    return 0


def _run(command: Sequence[str], env: dict[str, str]) -> int:
    """A stage's exit code. Ctrl-C reaches the stage itself, which is waited for while it saves."""
    with subprocess.Popen(command, env=env) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            return 130


def _last(curve: Path) -> dict[str, object]:
    """The last line of each stage with a validation loss."""
    rows = [json.loads(line) for line in curve.read_text(encoding="utf-8").splitlines()]
    return {row["stage"]: row for row in rows if row["validation"] is not None}


if __name__ == "__main__":
    sys.exit(main())
