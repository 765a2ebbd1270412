"""The errors a user can meet, each with the exit code it ends the program with.

Every message is one line: what is wrong, where, and the mend. A traceback is
shown only under ``--debug``. Exit codes are those of DESIGN §11: 1 finished
without a submission, 2 bad input or usage, 3 no sandbox or model to be had,
130 interrupted.
"""

from __future__ import annotations


class MleagentError(Exception):
    """Base of all errors meant for people; `exit_code` is what the CLI ends with."""

    exit_code = 1


class InputError(MleagentError):
    """The user's folder, file, option or setting can't be used as it is."""

    exit_code = 2


class UnavailableError(MleagentError):
    """No sandbox or no model can be had on this machine."""

    exit_code = 3


class SandboxError(MleagentError):
    """A sandbox failed as a sandbox (not the program inside it)."""

    exit_code = 3


class SandboxLostError(SandboxError):
    """The sandbox went away under a run: daemon stopped, container removed, runner killed."""


class PolicyError(MleagentError):
    """A policy could not answer: refused, timed out, spoke nonsense, crashed."""

    exit_code = 3


class ContextOverflowError(PolicyError):
    """The prompt no longer fits the model's context; the caller compacts and asks again."""


class StoreError(MleagentError):
    """The trajectory store can't be opened, read or written."""

    exit_code = 2
