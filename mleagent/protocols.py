"""The four seams: Policy, Sandbox, Annotator, RewardScheme. Each is a few methods.

Implementations live in `policy/`, `sandbox/` and `reward/`; the loop in `agent/`
knows these protocols only. Each says which errors it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol, runtime_checkable

from .records import Completion, Execution, Facts, Limits, Mark, Message, Record, Reward, Sampling, State


class Prompt(Record):
    """What a policy is asked. A policy uses the part it understands.

    `messages` is the whole chat so far and always set. `token_ids`, when not
    empty, is the exact prompt (stored ids + sampled ids + template delta) and
    wins over `messages` for policies that take ids. `state` is the same
    situation as records, for policies that are programs.
    """

    messages: tuple[Message, ...]
    token_ids: tuple[int, ...] = ()
    state: State | None = None


@runtime_checkable
class Policy(Protocol):
    """Proposes actions."""

    @property
    def name(self) -> str:
        """What is shown and logged, e.g. `playbook`, `qwen2.5-coder-7b`."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """The context length the model really has; None where there is no limit."""
        ...

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        n: int = 1,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> list[Completion]:
        """`n` replies to `prompt`; `on_text` gets the first one's text as it comes.

        When `stop` is set the reply ends early with what there is. Raises
        ContextOverflowError when the prompt does not fit, PolicyError when no
        answer can be had (already retried).
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`; exact where a tokenizer is there, else an estimate from above."""
        ...

    def close(self) -> None:
        """Free what is held; twice is harmless."""
        ...


@runtime_checkable
class Styled(Protocol):
    """A policy that was trained on a style of prompts of its own."""

    @property
    def prompt_style(self) -> str:
        """`full`, or `compact` for models of a few million weights (see `agent/compact.py`)."""
        ...


@runtime_checkable
class Adapted(Protocol):
    """A policy whose weights may have an adapter on them."""

    @property
    def adapter(self) -> str:
        """Name of the LoRA adapter in use; empty for none."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A policy that goes on from the exact tokens of a chat, also of one from an earlier sitting."""

    def remember(self, messages: Sequence[Message], reply: Completion) -> None:
        """`messages` ends with the text of `reply`; ids that are not this model's are passed over."""
        ...


class SandboxSpec(Record):
    """What a sandbox is made for: one session's inputs and limits."""

    session_id: str
    task_name: str
    public: Path
    """Mounted read-only at `/kaggle/input/<task_name>/`."""
    limits: Limits = Limits()
    image: str = ""
    """Container image; empty: the stock one."""
    gpus: str = ""
    """As docker's `--gpus`; empty: none."""
    python: str = ""
    """The interpreter for sandboxes that use this machine's; empty: the one running mleagent."""
    mounts: tuple[Path, ...] = ()
    """Extra host paths, mounted read-only at the same path."""
    packages: tuple[Path, ...] = ()
    """Folders of Python packages made outside, read-only at `/opt/mleagent/packages/N` and on PYTHONPATH;
    what is added to one later is seen inside at once."""
    preload: tuple[str, ...] = ()
    """Modules to import once beside the usual ones (`torch`, `lightgbm`), where the task uses them."""
    warm: bool = True
    """Run Python scripts as forks of a warm interpreter; False: each in a fresh one."""
    env: tuple[tuple[str, str], ...] = ()
    """Environment variables of every command, beside the usual ones."""


@runtime_checkable
class Sandbox(Protocol):
    """A locked-down place with `/kaggle/input/<task>/` (read-only) and `/kaggle/working/`.

    One warm sandbox serves a session. Nothing that runs inside outlives the
    `run` it was started by. Paths given to `put` and returned by `pull` are
    relative, POSIX, inside the work folder; anything else raises ValueError.
    All methods raise SandboxLostError when the sandbox has gone away (daemon
    stopped, container removed, runner killed); `start` makes a new one.
    """

    @property
    def name(self) -> str:
        """`docker`, `podman`, `bubblewrap`, `namespaces` or `none`."""
        ...

    @property
    def gaps(self) -> tuple[str, ...]:
        """What this sandbox does not isolate on this machine, a line each; empty is best."""
        ...

    def start(self) -> None:
        """Create it (or create it anew after it was lost) with an empty work folder."""
        ...

    def put(self, files: dict[str, bytes | None]) -> None:
        """Write these files into the work folder (None removes); parents are made."""
        ...

    def run(
        self,
        command: str,
        limits: Limits | None = None,
        on_output: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> Execution:
        """Run a shell command in the work folder to its end or limit; never raises for what it does.

        `on_output` gets cleaned text as it arrives. Setting `stop` ends the whole
        process tree; the status is then `killed`. A sandbox lost under the run
        gives the status `lost`; one lost before it raises.
        """
        ...

    def pull(self, max_bytes: int) -> dict[str, bytes]:
        """Regular files of the work folder that changed since the last put/pull.

        Links, devices, FIFOs and sockets are left out, never followed. Files are
        taken smallest first until `max_bytes` is reached; see `skipped`.
        """
        ...

    @property
    def removed(self) -> tuple[str, ...]:
        """Files gone from the work folder, as seen by the last `pull`."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the last `pull` left behind, a line each: path and why."""
        ...

    def packages(self) -> tuple[str, ...]:
        """Names of the distributions Python can import inside, with versions: `name==1.2`."""
        ...

    def reset(self) -> None:
        """As good as new, and checked: empty work folder, nothing running, nothing changed, still answering.

        A sandbox of which that can't be proved is ended, and SandboxLostError raised.
        """
        ...

    def close(self) -> None:
        """End everything inside and remove it; twice is harmless."""
        ...


class Annotator(Protocol):
    """Maps lines of a program to milestones. Deterministic, or a frozen model."""

    @property
    def name(self) -> str:
        """`ast` or `lm`."""
        ...

    def annotate(self, source: str) -> list[Mark]:
        """Marks in line order, at most one a milestone; [] for a program it can't read."""
        ...


class RewardScheme(Protocol):
    """A named, versioned pure function from facts to rewards."""

    @property
    def name(self) -> str:
        """`unified`, `ml-agent`, `ml-agent-linear` or `partial-credit`."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same facts would give another reward."""
        ...

    def __call__(self, facts: Sequence[Facts]) -> list[Reward | None]:
        """One reward a step, oldest first; None where it depends on what has not happened yet."""
        ...
