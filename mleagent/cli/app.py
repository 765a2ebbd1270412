"""The `mleagent` command: its table of commands, and what becomes of errors.

`main` is the entry point. It maps every error meant for people to one line on
stderr and the exit code of DESIGN §11; a traceback is shown under `--debug` or
MLEAGENT_DEBUG=1 only. Commands live in modules of their own and are imported
when they run.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Any, ClassVar

import typer
from typer.main import get_group

from .. import __version__
from ..errors import MleagentError
from .lazy import Lazy, LazyGroup

_HERE = "mleagent.cli"
_INTERRUPTED = 130

COMMANDS = {
    "solve": Lazy(f"{_HERE}.solve_cmd", "solve", "Work on a task folder until there is a submission."),
    "browse": Lazy(f"{_HERE}.browse_cmd", "browse", "Browse sessions, steps, scores and rewards."),
    "learn": Lazy(f"{_HERE}.learn_cmd", "learn", "Fine-tune a model on your own good steps."),
    "runs": Lazy(f"{_HERE}.runs_cmd", "app", "List, show, label and delete past sessions."),
    "init": Lazy(f"{_HERE}.init_cmd", "init", "Write mleagent.toml for a task folder."),
    "score": Lazy(f"{_HERE}.score_cmd", "score", "Score a submission honestly, on held-out rows."),
    "apply": Lazy(f"{_HERE}.apply_cmd", "apply", "Copy a session's best solution into its folder."),
    "diff": Lazy(f"{_HERE}.apply_cmd", "diff", "Show what apply would change."),
    "models": Lazy(
        f"{_HERE}.models_cmd", "app", "Base models and adapters: list, pull, add, use, roll back."
    ),
    "metrics": Lazy(f"{_HERE}.metrics_cmd", "metrics", "List the metrics tasks can be scored by."),
    "bundle": Lazy(f"{_HERE}.bundle_cmd", "app", "Carry wheels, image and models to a machine offline."),
    "doctor": Lazy(f"{_HERE}.doctor_cmd", "doctor", "Check this machine: sandboxes, models, memory, disk."),
    "config": Lazy(f"{_HERE}.config_cmd", "config", "Show settings and where they come from, or set one."),
}

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""typer carries its own copy of click, or an outer one, depending on its version."""


class Mleagent(LazyGroup):
    """The top group."""

    table: ClassVar[dict[str, Lazy]] = COMMANDS
    epilogue: ClassVar[str] = (
        "mleagent COMMAND --help says more. Without a command: what to do next in this folder."
    )


app = typer.Typer(
    cls=Mleagent,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def top(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (anywhere on the line).")] = False,
) -> None:
    """A terminal agent for machine-learning engineering: a folder goes in, an honest score comes out."""
    if version:
        typer.echo(f"mleagent {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        from .greet import greet

        if greet():
            raise typer.Exit(int(run_command("solve", ["."]) or 0))


def run_command(name: str, args: Sequence[str]) -> Any:
    """Run one command of the table in this process; returns its exit code or None."""
    group = get_group(app)
    assert isinstance(group, LazyGroup)
    return group.load(name).main(list(args), prog_name=f"mleagent {name}", standalone_mode=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Prints every error meant for people in one line."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = _debug(args)
    if not debug:
        sys.excepthook = _unexpected
    try:
        result = get_group(app).main(args, prog_name="mleagent", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except MleagentError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except _USAGE_ERROR as error:
        return _usage(error)
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)
    except typer.Abort as error:
        # A prompt turns Ctrl-C into Abort, and says so in the context only.
        by_key = isinstance(error.__cause__ or error.__context__, KeyboardInterrupt)
        return _fail("interrupted", _INTERRUPTED if by_key else 1)
    except BrokenPipeError:
        # the reader has left (`| head`): the flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        return _fail(f"{error.filename or 'the data folder'}: {error.strerror}; make room and try again", 1)


def _debug(args: list[str]) -> bool:
    """Whether tracebacks are wanted; takes `--debug` out of `args` wherever it stands before `--`."""
    end = args.index("--") if "--" in args else len(args)
    asked = "--debug" in args[:end]
    args[:end] = [arg for arg in args[:end] if arg != "--debug"]
    return asked or os.environ.get("MLEAGENT_DEBUG", "") not in ("", "0")


def _fail(message: str, code: int) -> int:
    print(f"mleagent: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


def _usage(error: Any) -> int:
    """A wrong command line: one line with the mend, or the help that was due."""
    path = error.ctx.command_path if error.ctx else "mleagent"
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.message, nl=bool(error.message))
        return 2
    return _fail(f"{error.format_message().rstrip('.')}; see {path} --help", 2)


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error that is ours, not the user's: where it happened, and how to see more."""
    where = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if f"{os.sep}mleagent{os.sep}" in file:
            where = f" at {file}:{trace.tb_lineno}"
        trace = trace.tb_next
    _fail(f"a defect of mleagent: {kind.__name__}: {error}{where}; --debug shows the traceback", 1)


if __name__ == "__main__":
    sys.exit(main())
