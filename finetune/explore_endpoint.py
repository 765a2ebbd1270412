"""Exploration with a model at an endpoint as the expert: ordinary sessions, asked to try drawn ideas.

Takes an endpoint and seeds of tasks. Of each task's most different plans one to three, drawn whatever they
score, go into the instruction; the session is stored in the data folder like any other and its conversation
appended to the JSONL, both only if it left a valid submission. Replies that failed stay as context only.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from mleagent.agent.finish import finish
from mleagent.agent.session import Solver
from mleagent.config import Settings, data_home
from mleagent.errors import PolicyError
from mleagent.policy.openai_api import OpenAIPolicy
from mleagent.protocols import Policy, SandboxSpec
from mleagent.records import Limits, Step, Task
from mleagent.sandbox.choose import choose, make
from mleagent.sandbox.pool import Pool
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare
from mleagent.trajectory.store import STORE_NAME, Store

from .conversation import Conversation, Turn, append, read
from .evaluate import RUN_LIMIT_S, session
from .expert import LENGTHS
from .explore import drafts_for
from .synth import make_task


def explore_endpoint(
    url: str, model: str, seeds: Sequence[int], count: int, out: Path, settings: Settings,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """`count` sessions, one after another, on each task not yet in `out`. Raises MleagentError."""
    done = {conversation.source for conversation in read(out)}
    policy = OpenAIPolicy(url, model)
    try:
        policy.probe()
        for number, seed in enumerate(left := [seed for seed in seeds if f"synth-{seed}" not in done], 1):
            kept = explore_seed(policy, seed, count, settings, say)
            append(out, kept)
            say(f"task {number} of {len(left)}: {len(kept)} conversations of {count} sessions kept")
    finally:
        policy.close()


def explore_seed(
    policy: Policy, seed: int, count: int, settings: Settings, say: Callable[[str], None]
) -> list[Conversation]:
    """Sessions on the task of one seed; those a kill left behind are begun anew."""
    home, synth = data_home(), make_task(seed)
    folder = home / "explore" / synth.name
    if not folder.exists():
        synth.write(folder)
    _forget_all(home, folder)
    task = prepare(folder, TaskOptions(), home)
    rng = Random(f"endpoint {seed}")
    lines = [draft.line for draft in drafts_for(task, rng)]
    limits = Limits(wall_s=RUN_LIMIT_S, cpus=1.0, memory_mb=2048)
    spec = SandboxSpec(session_id=task.name, task_name=task.name, public=task.public, limits=limits)
    kind = choose(settings.sandbox, spec, settings, say).name
    kept: list[Conversation] = []
    with Pool(lambda one: make(kind, one), 1) as pool:
        for number in range(count):
            asked = f"Try these ideas: {'; '.join(rng.sample(lines, min(len(lines), rng.randint(1, 3))))}"
            executions = rng.choice(LENGTHS)
            with (
                pool.lease(spec) as sandbox,
                session(policy, task, sandbox, settings, executions, number, home, asked) as solver,
            ):
                valid = _play(solver)
            if valid:
                kept += conversations_of(task, solver.steps)
            else:
                _forget(home, solver.session.id)
    return kept


def _play(solver: Solver) -> bool:
    """The session to its end; whether a submission was valid. Raises PolicyError when the expert fails."""
    end = solver.run(finish)
    if end.status == "failed":
        raise PolicyError(f"session {end.session} on {solver.session.task.name} failed: {end.reason}")
    return solver.session.best_step_id is not None


def conversations_of(task: Task, steps: Sequence[Step]) -> list[Conversation]:
    """What was said, one conversation for each prefix root; what failed is context only."""
    chats: list[list[Turn]] = []
    for step in steps:
        if step.compaction or not chats:
            chats.append([])
        chats[-1] += [Turn(role=m.role, content=m.content) for m in step.added[:-1]]
        facts = step.facts
        right = facts.format_valid and (
            not facts.executed or (facts.status == "ok" and facts.submission == "valid")
        )
        if step.added:
            last = step.added[-1]
            learnt = right and step.trainable and step.completion is not None
            chats[-1].append(Turn(role=last.role, content=last.content, train=learnt))
    return [
        Conversation(source=task.name, turns=tuple(chat), kind="session" if place == 0 else "compacted")
        for place, chat in enumerate(chats)
        if any(turn.train for turn in chat)
    ]


def _forget_all(home: Path, folder: Path) -> None:
    if (home / STORE_NAME).is_file():
        with Store.open(home / STORE_NAME) as store:
            left = [line.id for line in store.session_lines(folder=folder, limit=1000)]
        for session_id in left:
            _forget(home, session_id)


def _forget(home: Path, session_id: str) -> None:
    """A session that is not kept, with its files."""
    with Store.open(home / STORE_NAME) as store:
        store.delete_session(session_id)
    shutil.rmtree(home / "sessions" / session_id, ignore_errors=True)
