"""`mleagent learn`: fine-tune a small model on the user's own good steps.

`--sft` takes the steps that measured well (and those labelled `+`), trains a LoRA adapter on them and enters
it as a candidate. Exit codes: 0 done, 1 the time was over (the same command goes on), 2 bad input or nothing
to learn, 3 a library is missing or the base does not fit, 130 interrupted (the same command goes on).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import data_home
from ..errors import InputError

if TYPE_CHECKING:
    from finetune.sft_plan import Plan, Wish

_STOPPED, _INTERRUPTED = 1, 130


def learn(
    sft: Annotated[bool, typer.Option("--sft", help="Fine-tune on good steps.")] = False,
    model: Annotated[str, typer.Option(help="Base: a name, a path; default: the configured one.")] = "",
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE.jsonl", help="Conversations to learn instead of your sessions."),
    ] = None,
    epochs: Annotated[float, typer.Option(min=0.01, help="Passes over the data.")] = 2.0,
    lr: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 3e-4,
    rank: Annotated[int, typer.Option(min=1, max=512, help="Rank of the adapter.")] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Sequences an update.")] = 8,
    max_tokens: Annotated[
        int, typer.Option(min=16, help="Longest sequence; longer ones are left out.")
    ] = 4096,
    seed: Annotated[int, typer.Option(help="Seed of adapter and order.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: torch decides.")] = 0,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Stop then; the same command goes on.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the adapter.")] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, not where a run was left.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="What would be learnt, whether it fits, how long; no training.")
    ] = False,
) -> None:
    """Fine-tune a model on your own good steps; gives an adapter, a candidate."""
    if not sft:
        raise InputError("say how to learn: mleagent learn --sft trains on the good steps of your sessions")
    from finetune.libraries import require

    require()
    from finetune.sft_plan import Wish, plan
    from finetune.sft_train import Recipe

    recipe = Recipe(
        rank=rank, alpha=2 * rank, lr=lr, epochs=epochs, batch=batch, longest=max_tokens, seed=seed
    )
    limit = math.inf if max_minutes is None else max_minutes
    base = "" if model == "auto" else model  # both mean the configured one
    wish = Wish(data_home(), recipe, base, file, fresh, limit, name)
    if threads:
        _use_threads(threads)
    planned = plan(wish)
    _show(planned)
    if dry_run:
        minutes = planned.fit.seconds() / 60
        typer.echo(f"about {_minutes(minutes)} on this machine; nothing was trained (--dry-run)")
        return
    raise typer.Exit(_train(wish, planned))


def _train(wish: Wish, planned: Plan) -> int:
    from finetune.sft import learn as run
    from finetune.sft_train import Stopped

    try:
        adapter, trained, probe = run(wish, planned, _say)
    except Stopped as end:
        typer.echo(f"{end}: the same command goes on from there", err=True)
        return _INTERRUPTED if end.interrupted else _STOPPED
    judged = "held-out replies" if trained.held_out else "the replies it was trained on"
    change = f"{trained.before:.3f} -> {trained.after:.3f} nats a token"
    typer.echo(f"loss on {judged}: {change}, {trained.updates} updates")
    probed = f" (probed at {probe.strength:g} times its strength)" if probe.strength > 1 else ""
    effect = f"the adapter moves logits by up to {probe.effect:.2f}"
    typer.echo(f"{effect}; llama.cpp differs from torch in {probe.apart:.1%} of that{probed}")
    typer.echo(f"{adapter.name} is in the ledger, a candidate that no gate has looked at; to try it:")
    typer.echo(f"mleagent models use {adapter.name} --force")
    return 0


def _show(planned: Plan) -> None:
    if planned.going_on:
        typer.echo(f"going on with the run in {planned.folder} and its data; --fresh begins anew")
    for line in planned.lines:
        typer.echo(line)


def _minutes(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 1.5 else f"{minutes:.0f} minutes"


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _use_threads(count: int) -> None:
    from finetune.sft_fit import use_threads

    use_threads(count)
