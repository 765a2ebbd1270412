"""`mleagent solve`: work on a task folder until there is a submission.

Reads the flags into a `Wish`, picks the face (terminal, quiet, JSON) and maps
the end of the session to an exit code: 0 a valid submission, 1 finished without
one, 3 model or sandbox failed, 130 interrupted and resumable.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..agent.wish import Wish
    from ..events import SessionEnd

EXIT = {"done": 0, "no_submission": 1, "failed": 3, "interrupted": 130}


def solve(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", readable=False, help="The task folder.")] = Path(
        "."
    ),
    instruction: Annotated[str, typer.Argument(help='What you want, in words: "use catboost".')] = "",
    model: Annotated[
        str | None, typer.Option(help="auto, nano, playbook, PATH.gguf, a name of the ledger or http://…")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps.")] = None,
    time: Annotated[str | None, typer.Option(help="Most wall time, e.g. 4h.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens, prompt and reply.")] = None,
    exec_limit: Annotated[str | None, typer.Option(help="Most time of one run, e.g. 30m.")] = None,
    sandbox: Annotated[
        str | None, typer.Option(help="auto, docker, podman, bubblewrap, namespaces or none.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Container image to run in.")] = None,
    gpus: Annotated[str, typer.Option(help="GPUs for the sandbox, as docker's --gpus.")] = "",
    gpu_share: Annotated[
        str | None, typer.Option(help="A model on the GPU makes room for programs: auto, keep or park.")
    ] = None,
    cache: Annotated[
        bool | None, typer.Option("--cache/--no-cache", help="Take a program that ran before from the cache.")
    ] = None,
    mount: Annotated[list[Path] | None, typer.Option(help="Extra path to mount read-only.")] = None,
    reward: Annotated[str | None, typer.Option(help="Reward scheme.")] = None,
    start: Annotated[str | None, typer.Option(help="Your baseline script; runs as step 0.")] = None,
    eval_command: Annotated[
        str | None, typer.Option("--eval", help="Command that prints the metric.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the policy.")] = 0,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the holdout split.")] = None,
    ask: Annotated[str, typer.Option(help="Ask before: runs, edits or never.")] = "never",
    headless: Annotated[bool, typer.Option("-p", "--headless", help="No questions, quiet.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line (headless).")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show split, mounts, model; run nothing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("-c", "--continue", help="Go on with the last session here.")
    ] = False,
    resume: Annotated[str, typer.Option("-r", "--resume", metavar="ID", help="Go on with a session.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Say yes to questions (never network or apply).")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="At the end copy the result into DIR.")] = False,
) -> int:
    """Work on a task folder until there is a submission."""
    from ..agent.wish import Wish
    from ..config import load_settings, seconds
    from ..sandbox.gpu import wanted

    if ask not in ("runs", "edits", "never"):
        raise InputError(f"--ask {ask!r}: choose runs, edits or never")
    settings = load_settings(
        model=None if model in ("", "auto") else model,  # the configured one
        steps=steps,
        time=time,
        exec_limit=exec_limit,
        sandbox=sandbox,
        image=image,
        reward=reward,
        gpu_share=gpu_share,
        cache=cache,
    )
    at_terminal = not (headless or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    if at_terminal and not (dry_run or yes) and settings.model in ("", "auto") and model is None:
        from .first_offer import offer

        settings = offer(settings)
    wanted(gpus)
    seconds(settings.time, "--time")
    seconds(settings.exec_limit, "--exec-limit")
    for path in mount or ():
        if not path.exists():
            raise InputError(f"--mount {path}: there is no such path")
    wish = Wish(
        folder, settings, instruction, start, eval_command, seed, split_seed, gpus, tokens,
        tuple(path.resolve() for path in mount or ()),
    )  # fmt: skip
    if dry_run:
        from .dry_run import show

        return show(wish, as_json)
    end = _with_face(wish, at_terminal, as_json, ask, yes, again, resume)
    if end.status == "done" and apply:
        from .apply_cmd import apply_session

        apply_session(end.session, quiet=as_json)
    return EXIT[end.status]


def _with_face(
    wish: Wish, at_terminal: bool, as_json: bool, ask: str, yes: bool, again: bool, resume: str
) -> SessionEnd:
    """Run the session under the face that fits."""
    from .running import begin

    if at_terminal:
        from .terminal import Terminal

        return Terminal(wish, ask, yes).run(lambda: begin(wish, again, resume))
    from .headless import Headless

    return Headless(wish, as_json, yes).run(lambda: begin(wish, again, resume))
