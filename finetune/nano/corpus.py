"""The corpus that the small models learn from, and its form as token streams.

`python -m finetune.nano.corpus drafts` writes first drafts for thousands of train tasks: a brief, a plan
drawn by chance, its program (not executed; programs of plans run, as the headroom table shows). `streams`
trains the tokenizer on drafts and explored sessions and writes what `train` reads: `pretrain` (drafts) and
`sft` (sessions that were run for real), with a manifest of sizes and hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from mleagent.agent.actions import parse
from mleagent.agent.compact import CompactContext
from mleagent.agent.outcome import Outcome
from mleagent.agent.templates import Templates
from mleagent.config import data_home
from mleagent.policy.playbook.brief import brief_of
from mleagent.records import Task
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

from ..compact import program
from ..conversation import Conversation, Turn, append, read
from ..expert import Written, wish
from ..ideas import draw_plan
from ..plan_text import within
from ..plans import grounded
from ..synth import make_task
from ..synth_sets import TRAIN
from .distract import distracted

_LOOK, _WISH = 0.15, 0.12
_TOKENIZER_DOCUMENTS = 6000


def drafts_of(task: Task, count: int, templates: Templates, rng: Random) -> Iterator[Conversation]:
    """First drafts of different programs on a task."""
    brief, seen = brief_of(task), set()
    for _ in range(count):
        plan = within(task, grounded(draw_plan(brief, rng), brief, rng))
        written = Written(plan, program(task, plan))
        if written.text in seen:
            continue
        seen.add(written.text)
        context = CompactContext(templates, task, wish(written, rng) if rng.random() < _WISH else "")
        context.open({})
        if rng.random() < _LOOK:
            look = 'Plan: look at the columns\n<data path="train.csv"/>'
            context.reply(look)
            context.observe(context.worded(parse(look), Outcome(), None).body)
        context.reply(written.reply)
        turns = tuple(
            Turn(role=m.role, content=m.content, train=m.role == "assistant") for m in context.messages
        )
        yield Conversation(source=task.name, kind="draft", turns=turns)


def write_drafts(seeds: Sequence[int], count: int, out: Path) -> None:
    """Drafts for every seed not yet in `out`."""
    done = {conversation.source for conversation in read(out)}
    templates = Templates()
    left = [seed for seed in seeds if f"synth-{seed}" not in done]
    for number, seed in enumerate(left, start=1):
        work = Path(tempfile.mkdtemp(prefix="drafts-"))
        try:
            synth = make_task(seed)
            task = prepare(synth.write(work / synth.name), TaskOptions(), work / "home")
            append(out, drafts_of(task, count, templates, Random(f"drafts {seed}")))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if number % 100 == 0 or number == len(left):
            print(f"{number} of {len(left)} tasks", file=sys.stderr, flush=True)


def texts(conversations: Iterable[Conversation]) -> Iterator[str]:
    """What the tokenizer is trained on: every message."""
    for conversation in conversations:
        for turn in conversation.turns:
            yield turn.content


def write_streams(drafts: Path, sessions: Path, out: Path, kept: Path | None = None) -> dict[str, object]:
    """Tokenizer and streams in `out`; the manifest, which is written there too.

    `kept` is the folder of a tokenizer to go on with, for models that were trained with it.
    """
    from . import tokenizer as bpe

    rng = Random("streams")
    chosen = [distracted(c, rng) for n, c in enumerate(read(drafts)) if n % 7 == 0][:_TOKENIZER_DOCUMENTS]
    # tasks end in any order; the streams must not depend on it
    explored = [distracted(c, rng) for c in sorted(read(sessions), key=lambda c: c.source)]
    said = [*texts(chosen), *texts(explored[:_TOKENIZER_DOCUMENTS])]
    trained = bpe.load(kept) if kept else bpe.train(said)
    bpe.save(trained, out)
    manifest: dict[str, object] = {"drafts": _digest(drafts), "sessions": _digest(sessions)}
    first = (distracted(conversation, rng) for conversation in read(drafts))
    for name, conversations in (("pretrain", first), ("sft", iter(explored))):
        writer, count = bpe.StreamWriter(), 0
        for conversation in conversations:
            writer.add(*bpe.encode_chat(trained, conversation.turns))
            count += 1
        manifest[name] = {"documents": count, "tokens": writer.write(out, name)}
    (out / "corpus.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _digest(path: Path) -> str:
    """Hash of the conversations whatever order they were written in."""
    lines = sorted(hashlib.sha256(line).digest() for line in path.read_bytes().splitlines())
    return hashlib.sha256(b"".join(lines)).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m finetune.nano.corpus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drafts = commands.add_parser("drafts", help="write first drafts")
    drafts.add_argument("--tasks", type=int, default=4000)
    drafts.add_argument("--from", type=int, default=10_000, dest="start", help="first seed")
    drafts.add_argument("--count", type=int, default=25, help="drafts a task")
    streams = commands.add_parser("streams", help="train the tokenizer, write token streams")
    streams.add_argument("--sessions", type=Path, default=data_home() / "explore.jsonl")
    streams.add_argument("--out", type=Path, required=True)
    streams.add_argument("--tokenizer", type=Path, help="folder of a tokenizer to go on with")
    for command in (drafts, streams):
        command.add_argument("--drafts", type=Path, default=data_home() / "drafts.jsonl")
    options = parser.parse_args(arguments)
    try:
        return _work(options)
    except KeyboardInterrupt:
        print(f"{options.command}: stopped; the same command goes on", file=sys.stderr)
        return 130


def _work(options: argparse.Namespace) -> int:
    if options.command == "drafts":
        seeds = TRAIN[options.start : options.start + options.tasks]
        write_drafts(seeds, options.count, options.drafts)
    else:
        places = (options.drafts, options.sessions, options.out, options.tokenizer)
        print(json.dumps(write_streams(*places), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
