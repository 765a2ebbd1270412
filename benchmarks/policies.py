"""How good are the policies? Report set and examples at 3 and 8 executions, valid submissions, diversity.

    python benchmarks/policies.py [--policies random-ideas,playbook,nano,quarter] [--tasks 60] [--runs FILE]

Each policy works on the frozen report tasks (never read by training or gate) and on the examples by the
agent's own loop in warm sandboxes, `--sessions` sessions a task with seeds 0, 1, ... (one of the playbook,
which samples nothing); what is drawn is independent between tasks (`chance` in mleagent/agent/asking.py).
Resumable: finished sessions are kept in FILE. `--drafts 100` counts different plans among that many first
drafts of a few tasks.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import math
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from finetune import jsonl
from finetune.evaluate import Case, Episode, evaluate, of_folder, synthetic
from finetune.headroom_run import VERSION
from finetune.idea_policy import random_ideas
from finetune.synth_sets import load
from mleagent.agent.actions import parse
from mleagent.agent.compact import CompactContext, can_serve
from mleagent.agent.templates import Templates
from mleagent.config import Settings
from mleagent.errors import MleagentError
from mleagent.policy import nano
from mleagent.policy.choose import choose
from mleagent.protocols import Policy, Prompt
from mleagent.records import Sampling
from mleagent.sandbox.choose import make
from mleagent.sandbox.pool import Pool

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BUDGETS = (3, 8)
BASELINE = "random-ideas"
DRAFTS_AT = 1.0
"""Temperature of the drafts that are counted, without a nucleus: the policy's own chances."""
Done = dict[tuple[str, str, int], Episode]
"""Sessions by policy, task and number of the session."""


def policy_of(name: str) -> Policy:
    """A policy by the benchmark's names, or by what `--model` takes."""
    if name == "random-ideas":
        return random_ideas()
    if name == "quarter":
        name = str(nano.quarter_path())
    return choose(name, Settings(), 0)


def stamp(name: str, temperature: float | None) -> str:
    """What a session depends on besides policy, task and seed; sessions of another stamp are not taken up."""
    files = {"nano": nano.path, "quarter": nano.quarter_path}
    path = files[name]() if name in files else Path(name)
    weights = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
    return f"{weights or VERSION} {'own' if temperature is None else temperature}"


def cases(tasks: int) -> Iterable[tuple[str, Callable[[Path], Case]]]:
    """(name, maker) of report tasks, then of examples."""
    for entry in [e for e in load().entries if e.set == "report"][:tasks]:
        yield f"synth-{entry.seed}", lambda work, seed=entry.seed: synthetic(seed, work)
    for folder in sorted(path for path in EXAMPLES.iterdir() if (path / "train.csv").is_file()):
        yield folder.name, lambda work, folder=folder: of_folder(folder, work)


def run(name: str, options: argparse.Namespace, done: Done, pool: Pool) -> None:
    """All missing sessions of one policy."""
    left = [
        (case, maker, seed)
        for seed in range(1 if name == "playbook" else options.sessions)  # which always plays the same
        for case, maker in cases(options.tasks)
        if (name, case, seed) not in done
    ]
    if not left:
        return
    policy = policy_of(name)
    settings = Settings().model_copy(update={"temperature": options.temperature, "cache": False})

    def one(item: tuple[str, Callable[[Path], Case], int]) -> None:
        work = Path(tempfile.mkdtemp(prefix="policies-"))
        try:
            case = item[1](work)
            why = can_serve(case.task) if name != "playbook" else ""
            if why:
                episode = Episode(
                    policy=name, task=item[0], seed=item[2], attempts=(), replies=0, well_formed=0,
                    actions={}, ended=f"declined: {why}", generation_s=0, execution_s=0,
                )  # fmt: skip
            else:
                episode = evaluate(policy, case, max(BUDGETS), pool, settings, work, item[2])
            known = {"policy": name, "task": item[0], "stamp": stamp(name, options.temperature)}
            episode = episode.model_copy(update=known)
            done[name, item[0], item[2]] = episode
            jsonl.append(options.runs, [episode.model_dump_json()])
            print(name, item[0], [round(a.unseen, 3) for a in episode.attempts], episode.ended, flush=True)
        except MleagentError as error:
            print(name, item[0], error, file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    with ThreadPoolExecutor(options.workers) as threads:
        list(threads.map(one, left))
    policy.close()


def by_task(done: Done, name: str, value: Callable[[Episode], float]) -> dict[str, float]:
    """Each report task's mean of `value` over a policy's sessions on it."""
    found = collections.defaultdict(list)
    for (who, task, _), episode in done.items():
        if who == name and task.startswith("synth-"):
            found[task].append(value(episode))
    return {task: float(np.mean(values)) for task, values in found.items()}


def mean_and_error(values: Iterable[float], sign: str = "") -> str:
    """Mean over tasks with its standard error."""
    array = np.array(list(values))
    error = array.std(ddof=1) / math.sqrt(len(array)) if len(array) > 1 else 0.0
    return f"{array.mean():{sign}.3f} ({error:.3f})"


def summary(name: str, done: Done) -> str:
    """One line of the table; empty for a policy that was not run."""
    found = [e for (who, task, _), e in done.items() if who == name and task.startswith("synth-")]
    if not found:
        return ""
    cells = [name, str(len(found))]
    for budget in BUDGETS:
        utilities = by_task(done, name, lambda e, budget=budget: e.unseen_at(budget))
        cells.append(f"{np.mean([e.valid_at(budget) for e in found]):.1%}")
        cells.append(mean_and_error(utilities.values()))
        baseline = by_task(done, BASELINE, lambda e, budget=budget: e.unseen_at(budget))
        paired = [value - baseline[task] for task, value in utilities.items() if task in baseline]
        cells.append(mean_and_error(paired, "+") if paired and name != BASELINE else "")
    first = [next((n for n, a in enumerate(e.attempts, 1) if a.valid), None) for e in found]
    known = [n for n in first if n is not None]
    cells.append(f"{np.mean(known):.2f}" if known else "never")
    replies = sum(e.replies for e in found)
    cells.append(f"{sum(e.well_formed for e in found) / max(1, replies):.2%} of {replies}")
    tries = [attempt.valid for e in found for attempt in e.attempts]
    cells.append(f"{np.mean(tries):.1%} of {len(tries)}")
    return "| " + " | ".join(cells) + " |"


def drafts(name: str, count: int, temperature: float) -> list[str]:
    """Different plans among `count` first drafts of three report tasks, and their entropy."""
    policy, lines = policy_of(name), []
    work = Path(tempfile.mkdtemp(prefix="drafts-"))
    try:
        for entry in [e for e in load().entries if e.set == "report"][:3]:
            task = synthetic(entry.seed, work / str(entry.seed)).task
            context = CompactContext(Templates(), task)
            context.open({})
            prompt = Prompt(messages=tuple(context.messages))
            written: list[str] = []
            for seed in range(4):  # some replies look at the data first: they are no drafts
                sampling = Sampling(temperature=temperature, max_tokens=400, seed=seed)
                actions = [parse(reply.text) for reply in policy.complete(prompt, sampling, n=count)]
                written += [action.plan for action in actions if action.kind == "write"]
                if len(written) >= count:
                    break
            plans = collections.Counter(written[:count])
            total = sum(plans.values())
            bits = -sum(n / total * math.log2(n / total) for n in plans.values()) if total else 0.0
            most = math.log2(max(2, total))
            lines.append(f"| {name} | {entry.family} | {len(plans)} of {total} | {bits:.2f} of {most:.2f} |")
    finally:
        policy.close()
        shutil.rmtree(work, ignore_errors=True)
    return lines


def document(options: argparse.Namespace, done: Done, plans: list[str]) -> str:
    """The page of results."""
    how = "sampled as solve does" if options.temperature is None else f"temperature {options.temperature}"
    warm = "" if options.temperature is None else f"--temperature {options.temperature} "
    head = ["policy", "sessions"]
    for budget in BUDGETS:
        head += [f"valid at {budget}", f"utility at {budget}", f"to {BASELINE} at {budget}"]
    head += ["executions to the first valid", "well-formed replies", "valid executions"]
    lines = [
        "# Policies",
        "",
        "Utility on rows nobody is shown (report tasks: sealed rows and the task's own test rows; examples: "
        "sealed rows), of the best submission by feedback, mean over tasks with its standard error. "
        f"Up to {options.sessions} sessions a task (seeds from 0; one of the playbook: it samples nothing), "
        f"{how}. Differences are paired by task.",
        "",
        f"## {options.tasks} report tasks",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    lines += [line for name in options.names if (line := summary(name, done))]
    lines += ["", "## Examples, utility at 3 and 8 executions", "", "| policy | "]
    folders = sorted({task for _, task, _ in done if not task.startswith("synth-")})
    lines[-1] = "| policy | " + " | ".join(folders) + " |"
    lines.append("|---" * (len(folders) + 1) + "|")
    for name in options.names:
        cells = []
        for folder in folders:
            found = [e for (who, task, _), e in done.items() if (who, task) == (name, folder)]
            means = [f"{np.mean([e.unseen_at(budget) for e in found]):.2f}" for budget in BUDGETS if found]
            declined = any(e.ended.startswith("declined") for e in found)
            cells.append("declined" if declined else " → ".join(means))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if plans:
        lines += [
            "",
            f"## First drafts of one task, at temperature {DRAFTS_AT}",
            "",
            "| policy | task | different plans | entropy, bits |",
        ]
        lines += ["|---|---|---|---|", *plans]
    lines += [
        "",
        f"Made by `python benchmarks/policies.py --policies {','.join(options.names)} "
        f"--tasks {options.tasks} --sessions {options.sessions} {warm}"
        f"--drafts {options.drafts}` on {platform.machine()}, Python {platform.python_version()}.",
        "",
    ]
    return "\n".join(lines)


def kept(options: argparse.Namespace) -> Done:
    """The sessions in FILE that are asked for, by these very policies; torn lines are passed over."""
    wanted = {name for name, _ in cases(options.tasks)}
    stamps = {name: stamp(name, options.temperature) for name in options.names}
    found: Done = {}
    for line in jsonl.lines(options.runs):
        try:
            episode = Episode.model_validate_json(line)
        except ValueError:
            continue
        ours = episode.stamp == stamps.get(episode.policy)
        if ours and episode.task in wanted and episode.seed < options.sessions:
            found[episode.policy, episode.task, episode.seed] = episode
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", default="random-ideas,playbook,nano,quarter")
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=2, help="a task")
    parser.add_argument("--temperature", type=float, help="of sampling; without it the model's own")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drafts", type=int, default=0)
    parser.add_argument("--sandbox", default="namespaces")
    parser.add_argument("--runs", type=Path, default=Path("policies.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/policies.md"))
    options = parser.parse_args()
    options.names = options.policies.split(",")
    done = kept(options)
    with Pool(lambda spec: make(options.sandbox, spec), options.workers) as pool:
        for name in options.names:
            run(name, options, done, pool)
    plans = [
        line
        for name in options.names
        if options.drafts and name not in ("playbook", "random-ideas")
        for line in drafts(name, options.drafts, DRAFTS_AT)
    ]
    text = document(options, done, plans)
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
