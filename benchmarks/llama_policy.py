"""What the local policy costs: K replies together against one by one, against llama_cpp's own call, prefixes.

    python benchmarks/llama_policy.py [--model FILE.gguf | --random 256x8] [--k 8] [--rounds 5] [--out FILE]

Without --model: the bundled mleagent-nano where it is there, else a model of its architecture
with random weights. All sides take turns in one process run, round by round; medians are
reported, and the ratio of each round's own two sides.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from mleagent.policy.llama_cpp import LlamaCppPolicy  # noqa: E402
from mleagent.protocols import Prompt  # noqa: E402
from mleagent.records import Message, Sampling  # noqa: E402

SYSTEM = "You are a machine-learning engineer. Reply with a plan line and one action."
BRIEF = (
    "task churn: binary, metric roc_auc, a thousand rows, twelve columns, some missing, target balanced. "
    "best constant scores low, the profile names two date columns and five categories.\n"
)
OBSERVATION = "ran in a second; valid submission; score went up a little; best so far is step two.\n"


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--random", help="a random model of this width and number of layers")
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200, help="most tokens of a reply")
    parser.add_argument("--out", type=Path, help="add the tables to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, what = chosen(args.model, args.random, Path(folder))
        report = [
            f"{platform.platform()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, "
            f"llama-cpp-python {version()}, load {os.getloadavg()[0]:.1f}; "
            f"model: {what}, replies of at most {args.tokens} tokens, median of {args.rounds} rounds",
            "",
            *together(path, args.k, args.rounds, args.tokens),
            "",
            *beside_its_own(path, args.rounds, args.tokens),
            "",
            *session(path, args.tokens),
        ]
    text = "\n".join(report)
    print(text)
    if args.out:
        command = " ".join(["python", *sys.argv])
        before = args.out.read_text() if args.out.exists() else "# The local policy (llama.cpp)\n"
        args.out.write_text(f"{before}\n`{command}`\n\n{text}\n")


def chosen(path: Path | None, shape: str | None, folder: Path) -> tuple[Path, str]:
    """The model file and words for it."""
    from mleagent.policy.gguf_check import check_gguf

    bundled = sorted((ROOT / "mleagent/policy/nano").glob("*nano*.gguf"), key=lambda p: -p.stat().st_size)
    if path is None and bundled and not shape:
        path = bundled[0]
    if path is not None:
        return path, f"{path.stem} ({check_gguf(path).parameters / 1e6:.1f} M weights)"
    from gguf_maker import make_gguf

    width, layers = map(int, (shape or "256x8").split("x"))
    path = make_gguf(
        folder / "random.gguf", width=width, layers=layers, heads=width // 64, n_ctx=4096, half=True
    )
    return path, f"random weights ({check_gguf(path).parameters / 1e6:.1f} M, 16 bits), Qwen2 architecture"


def version() -> str:
    """Of llama-cpp-python."""
    from importlib.metadata import version as of

    return of("llama-cpp-python")


def prompt(turn: int = 0) -> Prompt:
    """A brief as a session begins with; each turn's is a new one."""
    words = (Message(role="system", content=SYSTEM), Message(role="user", content=f"{turn}\n{BRIEF * 3}"))
    return Prompt(messages=words)


def timed(call: Callable[[], int]) -> tuple[float, int]:
    """Seconds, and what was returned."""
    started = time.perf_counter()
    count = call()
    return time.perf_counter() - started, count


def together(path: Path, k: int, rounds: int, tokens: int) -> list[str]:
    """K replies of one state in one call, against K calls; each round has a prompt never seen before."""
    group = LlamaCppPolicy(path, k_max=k)
    single, forgetful = LlamaCppPolicy(path), LlamaCppPolicy(path)
    other = Prompt(messages=(Message(role="user", content="x"),))
    rows: list[tuple[float, float, float, float]] = []
    for turn in range(-1, rounds):
        ask = prompt(turn)

        def sampling(k: int, turn: int = turn) -> Sampling:
            return Sampling(temperature=1, max_tokens=tokens, seed=1000 * abs(turn) + k)

        def in_one(ask: Prompt = ask, sampling: Callable[[int], Sampling] = sampling) -> int:
            return sum(len(reply.token_ids) for reply in group.complete(ask, sampling(0), k))

        def one_by_one(ask: Prompt = ask, sampling: Callable[[int], Sampling] = sampling) -> int:
            return sum(len(single.complete(ask, sampling(i))[0].token_ids) for i in range(k))

        def anew(ask: Prompt = ask, sampling: Callable[[int], Sampling] = sampling) -> int:
            count = 0
            for i in range(k):
                forgetful.complete(other, Sampling(max_tokens=1))
                count += len(forgetful.complete(ask, sampling(i))[0].token_ids)
            return count

        (a, n_a), (b, n_b), (c, n_c) = timed(in_one), timed(one_by_one), timed(anew)
        if turn >= 0:  # the first only warms up
            rows.append((a, a / n_a, b / n_b, c / n_c))
    for policy in (group, single, forgetful):
        policy.close()
    seconds, a, b, c = (statistics.median(column) for column in zip(*rows, strict=True))
    kept = statistics.median(row[1] / row[2] for row in rows)
    fresh = statistics.median(row[1] / row[3] for row in rows)
    return [
        f"| {k} replies of one state | ms a token | tokens/s |",
        "|---|---|---|",
        f"| one call ({seconds:.2f} s in all) | {a * 1e3:.3f} | {1 / a:,.0f} |",
        f"| {k} calls, the prompt kept between them | {b * 1e3:.3f} | {1 / b:,.0f} |",
        f"| {k} calls, the prompt evaluated in each | {c * 1e3:.3f} | {1 / c:,.0f} |",
        "",
        f"Time of one call over {k} calls, a token: **{kept:.2f}** (prompt kept), "
        f"**{fresh:.2f}** (evaluated in each).",
    ]


def beside_its_own(path: Path, rounds: int, tokens: int) -> list[str]:
    """One reply, against `Llama.create_completion` on the same ids, sampling the whole distribution too."""
    from llama_cpp import Llama

    policy = LlamaCppPolicy(path)
    sides = {
        f"its own call, {n} thread{'s' if n > 1 else ''}": Llama(
            str(path), n_ctx=policy.context_tokens or 4096, n_threads=n, verbose=False
        )
        for n in sorted({1, os.cpu_count() or 1})
    }

    def own(llama: Llama, ids: list[int], seed: int) -> int:
        said = llama.create_completion(
            ids,
            max_tokens=tokens,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            repeat_penalty=1.0,
            seed=seed,
        )
        return int(said["usage"]["completion_tokens"])

    def ours(ids: tuple[int, ...], seed: int) -> int:
        sampling = Sampling(temperature=1, max_tokens=tokens, seed=seed)
        ask = Prompt(messages=prompt(seed).messages, token_ids=ids)
        return len(policy.complete(ask, sampling)[0].token_ids)

    rates: dict[str, list[float]] = {name: [] for name in ("this policy", *sides)}
    for turn in range(rounds + 1):
        ids = policy.prompt_ids(prompt(turn).messages)
        found = {"this policy": timed(partial(ours, ids, turn))}
        found |= {name: timed(partial(own, llama, list(ids), turn)) for name, llama in sides.items()}
        if turn:  # the first only warms up
            for name, (seconds, count) in found.items():
                rates[name].append(count / seconds)
    policy.close()
    for llama in sides.values():
        llama.close()
    lines = ["| one reply, its prompt evaluated | tokens/s | to its own call at its best |", "|---|---|---|"]
    best = max(statistics.median(rates[name]) for name in sides)
    lines += [
        f"| {name} | {statistics.median(found):,.0f} | {statistics.median(found) / best:.2f} |"
        for name, found in rates.items()
    ]
    return lines


def session(path: Path, tokens: int, steps: int = 20) -> list[str]:
    """Twenty steps of one session: prompt tokens evaluated for each new token."""
    policy = LlamaCppPolicy(path)
    limit = min(tokens, 80)
    chat, total, written = prompt().messages, 0, 0
    for step in range(steps):
        (reply,) = policy.complete(
            Prompt(messages=chat), Sampling(temperature=1, max_tokens=limit, seed=step)
        )
        total, written = len(reply.prompt_ids), written + len(reply.token_ids)
        chat = (
            *chat,
            Message(role="assistant", content=reply.text),
            Message(role="user", content=f"step {step}: {OBSERVATION}"),
        )
    # what was sampled is in the context already: new are the brief and what each turn added to the chat
    new = total - (written - len(reply.token_ids))
    evaluated, reused = policy.evaluated, policy.reused
    policy.close()
    return [
        f"A session of {steps} steps: {evaluated:,} prompt tokens evaluated for {new:,} new ones: "
        f"**{evaluated / new:.3f}**; {reused:,} reused, so {evaluated / (evaluated + reused):.3f} of all "
        f"prompt tokens were evaluated; {written:,} tokens sampled.",
    ]


if __name__ == "__main__":
    main()
