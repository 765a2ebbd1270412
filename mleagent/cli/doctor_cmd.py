"""`mleagent doctor`: what this machine has, what works on it, and the mend where something does not.

Sandboxes and llama.cpp are proved, not guessed; models are read, not loaded. Exit code 3 when no sandbox
works, llama.cpp crashes on this processor or can't use the GPU that is here, the ledger can't be read or
the configured model can't be used.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from typing import Annotated

import typer

from .. import __version__
from ..config import Settings, config_home, data_home, load_settings
from ..errors import MleagentError
from ..records import Record
from .machine import facts

_PACKAGES = ("docker", "llama-cpp-python", "numpy", "pandas", "pydantic", "scikit-learn", "textual", "typer")
_LEAST_PYTHON = (3, 11)
_LEAST_DISK_GB = 5.0
_LEAST_MEMORY_GB = 2.0


class Check(Record):
    """One line of the report."""

    section: str
    name: str
    state: str
    """`ok`, `warn` (works with less), `fail` (to be mended: exit code 3) or `info`.

    `solve` may work in spite of a `fail`, say with an endpoint where llama.cpp is what fails.
    """
    detail: str
    more: tuple[str, ...] = ()
    """Lines below it, e.g. what a sandbox does not isolate."""


def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed sessions left behind, and stale images.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a report.")] = False,
) -> None:
    """Check this machine: python, memory, disk, GPU, sandboxes, models."""
    settings = load_settings()
    removed = _clean() if clean else []
    checks = [*_machine(), *_gpus(), *_sandboxes(settings), *_models(settings)]
    failed = any(check.state == "fail" for check in checks)
    if as_json:
        data = {
            "checks": [check.model_dump(mode="json") for check in checks],
            "removed": removed,
            "ok": not failed,
        }
        typer.echo(json.dumps(data, ensure_ascii=False))
    else:
        _print(checks)
        if clean:
            typer.echo("\nremoved: " + (", ".join(removed) or "nothing was left behind"))
    raise typer.Exit(3 if failed else 0)


def _clean() -> list[str]:
    from ..sandbox import reap

    return reap.clean()


def _machine() -> list[Check]:
    machine, version = facts(), platform.python_version()
    enough = sys.version_info >= _LEAST_PYTHON

    def line(name: str, good: bool, detail: str, mend: str = "") -> Check:
        return Check(
            section="machine",
            name=name,
            state="ok" if good else "warn",
            detail=detail if good else f"{detail}; {mend}",
        )

    return [
        line("mleagent", True, f"{__version__}, data in {data_home()}, settings in {config_home()}"),
        line("python", enough, f"{version} ({sys.executable})", "3.11 or newer is needed"),
        line("system", True, f"{machine.system}, {machine.cores} cores"),
        line(
            "memory",
            machine.memory_free_gb >= _LEAST_MEMORY_GB,
            f"{machine.memory_gb:.1f} GB, {machine.memory_free_gb:.1f} GB free",
            "set memory_mb lower or close something",
        ),
        line(
            "disk",
            machine.disk_free_gb >= _LEAST_DISK_GB,
            f"{machine.disk_free_gb:.1f} GB free for the data folder",
            "MLEAGENT_HOME moves it",
        ),
        Check(section="machine", name="packages", state="info", detail=", ".join(_versions())),
    ]


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return found


def _gpus() -> list[Check]:
    from .doctor_gpu import lines

    return [Check(section="gpu", name=one.name, state=one.state, detail=one.detail) for one in lines()]


def _sandboxes(settings: Settings) -> list[Check]:
    from ..sandbox.choose import describe

    kinds = describe(settings)
    wanted = settings.sandbox
    usable = [kind for kind in kinds if kind.available and (kind.name != "none" or wanted == "none")]
    good = bool(usable) if wanted == "auto" else any(kind.name == wanted for kind in usable)
    checks = [
        Check(
            section="sandboxes",
            name=kind.name,
            state="info" if kind.name == "none" else "ok" if kind.available else "warn",
            detail=kind.detail,
            more=tuple(f"does not isolate: {gap}" for gap in kind.gaps),
        )
        for kind in kinds
    ]
    if not good:
        what = "none works; see the lines above" if wanted == "auto" else f"{wanted} is set and does not work"
        checks.append(Check(section="sandboxes", name="choice", state="fail", detail=what))
    else:
        first = wanted if wanted != "auto" else usable[0].name
        checks.append(Check(section="sandboxes", name="choice", state="ok", detail=f"{first} ({wanted})"))
    return checks


def _models(settings: Settings) -> list[Check]:
    from .doctor_models import configured, here, known, servers

    checks = []
    try:
        checks.append(Check(section="models", name="configured", state="ok", detail=configured(settings)))
    except MleagentError as error:
        checks.append(Check(section="models", name="configured", state="fail", detail=str(error)))
    checks += _llama_cpp()
    for address, detail in servers():
        checks.append(
            Check(section="models", name="found running", state="info", detail=f"{address}: {detail}")
        )
    try:
        checks += [
            Check(section="models", name="found here", state="info", detail=f"{setting}: {detail}")
            for setting, detail in here(settings)
        ]
    except MleagentError as error:
        checks.append(Check(section="models", name="found here", state="fail", detail=str(error)))
    which = "open coder models, by whether they fit: mleagent models pull NAME"
    checks.append(
        Check(section="models", name="would fit", state="info", detail=which, more=tuple(known(settings)))
    )
    return checks


def _llama_cpp() -> list[Check]:
    """Tried, not guessed: what is compiled for another processor loads well and crashes later."""
    from importlib.util import find_spec

    from ..policy.llama_check import fault

    if find_spec("llama_cpp") is None:
        return []
    wrong = fault()
    detail = wrong or "llama.cpp computes here, with quantised weights too"
    return [Check(section="models", name="gguf models", state="fail" if wrong else "ok", detail=detail)]


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    signs = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red"), "info": ("·", "dim")}
    section = ""
    for check in checks:
        if check.section != section:
            console.print(Text(f"{chr(10) if section else ''}{check.section}", style="bold"))
            section = check.section
        sign, style = signs[check.state]
        console.print(Text.assemble("  ", (sign, style), f" {check.name:<14} ", check.detail))
        for line in check.more:
            console.print(Text(f"{'':19}{line}", style="dim"))
