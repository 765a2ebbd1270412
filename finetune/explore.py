"""Exploration (ML-Agent's first half): diverse expert trajectories on synthetic tasks, run for real.

For each task some 120 plans are drawn and the ten that differ most kept; programs run in warm sandboxes, each
text once a task; trajectories are drawn from them and appended to a JSONL of conversations, kept if they left
a valid submission and never because they scored well. Resumable: a task's lines go out in one write.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

from mleagent import clock
from mleagent.agent.assembly import executor_of
from mleagent.agent.checkpoints import Checkpoints
from mleagent.agent.execute import Hooks
from mleagent.agent.outcome import Outcome
from mleagent.agent.templates import Templates
from mleagent.agent.workspace import Workspace
from mleagent.config import Settings, data_home
from mleagent.errors import MleagentError
from mleagent.policy.playbook.brief import brief_of
from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.records import Limits, Task
from mleagent.sandbox.choose import choose, make
from mleagent.sandbox.pool import Pool
from mleagent.task.options import TaskOptions
from mleagent.task.prepare import prepare

from .compact import program
from .conversation import Conversation, append, read
from .expert import Trajectory, Written
from .ideas import draw_plan, fitting, plan_line, tidy
from .plan_text import within
from .plans import grounded
from .spread import spread
from .synth import make_task
from .synth_sets import TRAIN

CANDIDATES, KEPT, CHANGES = 120, 10, 2
"""Plans drawn for a task; the most different ones kept; variations of each."""
RUN_LIMIT_S = 20.0


def drafts_for(task: Task, rng: Random) -> list[Written]:
    """The most different of many plans, each with its program of at most 250 pieces."""
    brief = brief_of(task)
    found: dict[str, Written] = {}
    for _ in range(CANDIDATES):
        plan = within(task, grounded(draw_plan(brief, rng), brief, rng))
        found.setdefault(text := program(task, plan), Written(plan, text))
    candidates = list(found.values())
    chosen = spread([f"{c.line}\n{c.text}" for c in candidates], KEPT, rng)
    return [candidates[place] for place in chosen]


def changes_for(task: Task, drafts: Sequence[Written], rng: Random) -> list[Written]:
    """Each draft with one idea added, taken away or swapped for another of its kind."""
    ideas = [idea for idea in fitting(brief_of(task)) if idea.kind != "validation"]
    found = []
    for number, draft in enumerate(drafts):
        for _ in range(CHANGES):
            plan = list(draft.plan)
            if len(plan) > 1 and rng.random() < 0.25:
                plan.pop(rng.randrange(len(plan)))
            else:
                plan.append(rng.choice(ideas).draw(rng))
            tidied = within(task, tidy(plan, brief_of(task)))
            text = program(task, tidied)
            if plan_line(tidied) != draft.line and text != draft.text:
                found.append(Written(tidied, text, base=number))
    return found


class Runner:
    """Runs programs of one task in one sandbox, each text once."""

    def __init__(self, task: Task, sandbox: Sandbox, work: Path, settings: Settings) -> None:
        """`sandbox` is started over the task's public folder."""
        self._workspace = Workspace(work / "work", Checkpoints(work / "checkpoints"))
        self._executor = executor_of(task, sandbox, self._workspace, settings)
        self._executor.limit_s = RUN_LIMIT_S
        self._known: dict[str, Outcome] = {}
        self.seconds: list[float] = []
        """Wall time of every execution."""

    def __call__(self, text: str, best: bytes | None) -> Outcome:
        """The outcome against the best submission so far; executed the first time only."""
        known = self._known.get(text)
        if known is None:
            self._workspace.write("solution.py", text.encode())
            known = self._executor.script("solution.py", None, Hooks(threading.Event()))
            self._known[text] = known
            if known.execution:
                self.seconds.append(known.execution.duration_s)
        if best is None or known.submission is None or known.execution is None:
            return known
        scorer = self._executor.scorer
        grade = scorer.score(known.execution, known.submission, best) if scorer else None
        return replace(known, grade=grade)

    def close(self) -> None:
        """Close the checkpoints."""
        self._workspace.checkpoints.close()


def explore_task(
    seed: int, count: int, pool: Pool, settings: Settings, templates: Templates
) -> tuple[list[Conversation], list[float]]:
    """`count` trajectories on the task of a seed, and the seconds of each execution."""
    work = Path(tempfile.mkdtemp(prefix="explore-"))
    try:
        synth = make_task(seed)
        task = prepare(synth.write(work / synth.name), TaskOptions(), work / "home")
        rng = Random(f"explore {seed}")
        drafts = drafts_for(task, rng)
        changes = changes_for(task, drafts, rng)
        limits = Limits(wall_s=RUN_LIMIT_S, cpus=1.0, memory_mb=2048)
        spec = SandboxSpec(session_id=synth.name, task_name=task.name, public=task.public, limits=limits)
        with pool.lease(spec) as sandbox:
            runner = Runner(task, sandbox, work, settings)
            try:
                made = [
                    Trajectory(task, templates, drafts, changes, runner, Random(f"{seed} {k}")).write()
                    for k in range(count)
                ]
            finally:
                runner.close()
        return [one for one in made if one is not None], runner.seconds
    finally:
        shutil.rmtree(work, ignore_errors=True)


def explore(
    seeds: Sequence[int], count: int, out: Path, settings: Settings, workers: int, say: Callable[[str], None]
) -> None:
    """Trajectories of every seed not yet in `out`, appended as they are done."""
    done = {conversation.source for conversation in read(out)}
    left = [seed for seed in seeds if f"synth-{seed}" not in done]
    templates, lock, started = Templates(), threading.Lock(), clock.monotonic()
    seconds: list[float] = []
    finished = 0
    kind = choose(settings.sandbox, _probe_spec(), settings, say).name

    with Pool(lambda spec: make(kind, spec), workers) as pool:

        def one(seed: int) -> None:
            nonlocal finished
            found, took = explore_task(seed, count, pool, settings, templates)
            with lock:
                append(out, found)
                seconds.extend(took)
                finished += 1
                if finished % 10 == 0 or finished == len(left):
                    pace = (clock.monotonic() - started) / finished
                    say(
                        f"{finished} of {len(left)} tasks, {len(seconds)} executions, median "
                        f"{statistics.median(seconds):.3f} s; about {pace * (len(left) - finished) / 60:.0f} "
                        "minutes left"
                    )

        with ThreadPoolExecutor(workers) as threads:
            try:
                for outcome in [threads.submit(one, seed) for seed in left]:
                    outcome.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)  # what has begun is let end
                raise


def _probe_spec() -> SandboxSpec:
    return SandboxSpec(session_id="explore", task_name="explore", public=data_home())


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m finetune.explore`: see the module."""
    parser = argparse.ArgumentParser(prog="python -m finetune.explore", description=__doc__)
    parser.add_argument("--tasks", type=int, default=500, help="train tasks (default 500)")
    parser.add_argument("--from", type=int, default=1000, dest="start", help="first seed (default 1000)")
    parser.add_argument("--count", type=int, default=10, help="trajectories a task (default 10)")
    parser.add_argument("--workers", type=int, default=2, help="executions at once (default 2)")
    parser.add_argument("--sandbox", default="auto", help="kind of sandbox (default auto)")
    parser.add_argument("--expert", default="", metavar="URL", help="an endpoint as the expert")
    parser.add_argument("--model", default="", help="its model (default: the first it lists)")
    parser.add_argument("--out", type=Path, default=data_home() / "explore.jsonl", help="conversations")
    options = parser.parse_args(arguments)
    data_home().mkdir(parents=True, exist_ok=True)
    seeds = TRAIN[options.start : options.start + options.tasks]
    settings = Settings().model_copy(update={"sandbox": options.sandbox})

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        if options.expert:
            from .explore_endpoint import explore_endpoint

            where = (options.expert, options.model)
            explore_endpoint(*where, seeds, options.count, options.out, settings, say)
        else:
            explore(seeds, options.count, options.out, settings, options.workers, say)
    except MleagentError as error:
        say(f"explore: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("explore: stopped; the same command goes on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
