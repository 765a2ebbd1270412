"""The first `solve` at a terminal: which model should work, of what is there? The answer is remembered.

Looks at the usual ports of local servers, at GGUF files that fit this machine, at nano and the playbook;
Enter takes the first. Nothing is downloaded or sent anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import typer

from ..config import Settings, data_home
from ..config_file import write_setting
from ..models import Ledger
from ..models.find import found
from ..models.known import KNOWN, context_of, need_gb
from ..policy import nano
from ..policy.choose import NAMES
from ..policy.gguf_check import GgufHead
from .fit import fit
from .models_view import count
from .servers import running

_MOST_FILES = 5
_SLOW_ON_CPU = 6e9
"""Bytes of weights above which a model that is not on a GPU is no first choice: seconds a token."""


class Choice(NamedTuple):
    """One line of the offer."""

    setting: str
    """What `--model` takes."""
    words: str


def choices(settings: Settings) -> list[Choice]:
    """What is there, the recommended one first."""
    offers = [
        Choice(one.address, f"{one.usual} at {one.address}: {', '.join(one.models[:3])}")
        for one in running()
        if one.models
    ]
    offers += _files(settings)
    if not nano.missing():
        offers.append(Choice("nano", nano.WHAT))
    return [*offers, Choice("playbook", "playbook: a library of ML ideas that needs no language model")]


def offer(settings: Settings) -> Settings:
    """Ask, keep the answer in config.toml; the settings with it."""
    offers = choices(settings)
    typer.echo("no model is configured; which one should work?")
    for number, choice in enumerate(offers, 1):
        typer.echo(f"  {number}  {choice.words}{'  (recommended)' if number == 1 else ''}")
    if all(choice.setting in NAMES for choice in offers):
        typer.echo(_hint())
    setting = offers[_number(len(offers)) - 1].setting
    write_setting("model", setting)
    typer.echo(f"remembered: mleagent models use NAME changes it, --model {setting} says it for one session")
    return settings.model_copy(update={"model": setting})


def _number(most: int) -> int:
    """Asks until a number of the list is named; Enter is 1."""
    while True:
        said = typer.prompt("number", default="1").strip()
        if said.isdigit() and 1 <= int(said) <= most:
            return int(said)
        typer.echo(f"write a number from 1 to {most}")


def _files(settings: Settings) -> list[Choice]:
    """Model files that fit, coders first, then the largest that is not too slow."""
    fitting = []
    for setting, head in found(Ledger(data_home())):
        context = context_of(head.context_length, settings.n_ctx)
        need = need_gb(head.bytes, head.kv_bytes, context)
        where = fit(need).where
        if where in ("gpu", "memory"):
            slow = where != "gpu" and head.bytes > _SLOW_ON_CPU
            coder = "code" in f"{head.name} {head.path.name}".lower()
            fitting.append(((slow, not coder, -head.bytes), setting, head, need))
    fitting.sort(key=lambda one: one[0])
    return [Choice(setting, _line(setting, head, need)) for _, setting, head, need in fitting[:_MOST_FILES]]


def _line(setting: str, head: GgufHead, need: float) -> str:
    what = f"{head.architecture}, {count(head.parameters)} parameters, needs about {need:.1f} GB"
    return (
        f"{setting}: {what}"
        if setting != str(head.path)
        else f"{head.path.name} in {head.path.parent}: {what}"
    )


def _hint() -> str:
    """The largest known coder that would fit."""
    fitting = [
        one for one in KNOWN if fit(need_gb(one.gb * 1e9, one.kv_bytes, 8192)).where in ("gpu", "memory")
    ]
    if not fitting:
        return "  (a server or a GGUF file would be offered too)"
    best = max(
        (one for one in fitting if one.gb * 1e9 <= _SLOW_ON_CPU), key=lambda one: one.gb, default=fitting[0]
    )
    return f"  (mleagent models pull {best.name} brings a coder that fits this machine: {best.gb:.1f} GB)"
