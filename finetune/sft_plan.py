"""A run of fine-tuning before it begins: which base, which replies, how many tokens, whether it fits.

Takes the user's wish; gives a `Plan`, or an error that says what is missing. Nothing is written until the
run begins: then `freeze` keeps its data in the run's folder, so that the same wish goes on with them after a
kill, whatever sessions have come since.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mleagent.agent.templates import Templates
from mleagent.config import load_settings, user_path
from mleagent.errors import InputError
from mleagent.models import Adapter, Base, Ledger
from mleagent.models.active import parent_of
from mleagent.models.bundled import bundled, bundled_of_hash
from mleagent.models.entries import checked_name, name_for
from mleagent.models.files import files_at, head_of
from mleagent.policy.gguf_check import check_gguf
from mleagent.trajectory.store import STORE_NAME, Store

from .conversation import read
from .gguf_folder import ARCHITECTURES
from .own_steps import Lessons, from_conversations, from_store
from .sft_fit import Fit, fit
from .sft_tokens import Sequence, Sequences, Words, sequences
from .sft_train import Recipe, updates_of

Frozen = tuple[Sequences, str, tuple[str, ...], tuple[str, ...]]
"""What a run learns: data, account, sessions, steps."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    home: Path
    """The data folder."""
    recipe: Recipe
    model: str = ""
    """Name of a base or an adapter, or a path; empty: the configured one."""
    file: Path | None = None
    """Conversations to learn instead of the store's sessions."""
    fresh: bool = False
    """Begin anew although an unfinished run is there."""
    max_minutes: float = math.inf
    name: str = ""


@dataclass(frozen=True)
class Plan:
    """A run before it begins."""

    base: Base
    data: Sequences
    account: str
    """What was taken and left out, in a line."""
    sources: tuple[str, ...]
    steps: tuple[str, ...]
    """Ids of the user's steps that are learnt; none for a file's conversations."""
    folder: Path
    going_on: bool
    fit: Fit
    updates: int

    @property
    def lines(self) -> list[str]:
        """For people."""
        data, exact = self.data, self.data.exact
        return [
            f"base {self.base.name} ({self.base.parameters / 1e6:.1f} M parameters)",
            self.account,
            f"{len(data.found)} sequences, {data.tokens:,} tokens, {data.learnt:,} of them learnt "
            f"({exact} replies in their exact tokens, {data.rendered} rendered, {data.too_long} too long)",
            f"{self.updates} updates, {self.fit.adapter:,} weights in the adapter; {self.fit.words}",
        ]


def base_of(ledger: Ledger, name: str) -> Base:
    """The GGUF base that `name` means; an adapter means its base. Raises InputError."""
    wanted = name.strip() or load_settings().model.strip() or "auto"
    wanted = "nano" if wanted.lower() == "auto" else wanted
    entry = ledger.find(wanted) or bundled(wanted)
    if isinstance(entry, Adapter):
        entry = parent_of(ledger, entry)
    if entry is None and user_path(wanted).is_file():
        return _unlisted(ledger, user_path(wanted).absolute())
    if entry is None and wanted.lower() in ("nano", "playbook"):
        why = "has no weights to train" if wanted.lower() == "playbook" else "is not in this installation"
        raise InputError(f"{wanted} {why}; name a GGUF model with --model")
    entry = entry or ledger.get(wanted)
    assert isinstance(entry, Base)
    if entry.kind != "gguf" or entry.files is None:
        raise InputError(f"{entry.name} is {entry.kind}; learning takes a GGUF base, name one with --model")
    return entry


def _unlisted(ledger: Ledger, path: Path) -> Base:
    """A file that may have no entry yet; it gets one when an adapter of it does."""
    head, files = head_of(path), files_at(path)
    known = ledger.base_of_hash(files.sha256) or bundled_of_hash(files.sha256)
    called, number = name_for(path), 1
    while ledger.find(called) or bundled(called):
        number += 1
        called = f"{name_for(path)}-{number}"
    return known or Base(
        name=called, kind="gguf", files=files, architecture=head.architecture,
        parameters=head.parameters, context_length=head.context_length,
    )  # fmt: skip


def lessons_for(wish: Wish, style: str) -> Lessons:
    """From the file or the store. Raises InputError where there is nothing to learn."""
    if wish.file is not None:
        if not wish.file.is_file():
            raise InputError(f"{wish.file}: there is no such file; python -m finetune.explore writes one")
        lessons = from_conversations(read(wish.file))
        where = str(wish.file)
    elif (wish.home / STORE_NAME).is_file():
        with Store.open(wish.home / STORE_NAME) as store:
            lessons = from_store(store, style, Templates())
        where = "your sessions"
    else:
        raise InputError("there are no sessions yet to learn from; mleagent solve DIR makes some")
    if not lessons.found:
        raise InputError(f"nothing to learn in {where}: {lessons.account()}")
    return lessons


def plan(wish: Wish) -> Plan:
    """All that can be known before the model is loaded; writes nothing. Raises MleagentError."""
    ledger = Ledger(wish.home)
    if wish.name and ledger.find(checked_name(wish.name)):
        raise InputError(f"there is a model {wish.name!r} already; choose another name with --name")
    base = base_of(ledger, wish.model)
    assert base.files is not None
    path = Path(base.files.path)
    if base.architecture not in ARCHITECTURES.values():
        raise InputError(f"{path}: a model of architecture {base.architecture} can't be trained here")
    folder = wish.home / "learn" / f"sft-{_key(base, wish)}"
    going_on = (folder / "plan.json").is_file() and not wish.fresh
    if going_on:
        data, account, sources, steps = thaw(folder)
        _still_allowed(wish, path, steps)
    else:
        data, account, sources, steps = _gather(wish, path)
    need = fit(path, data, wish.recipe.rank, wish.recipe.epochs)
    return Plan(base, data, account, sources, steps, folder, going_on, need, updates_of(data, wish.recipe))


def _still_allowed(wish: Wish, path: Path, steps: Many[str]) -> None:
    """InputError when a run that goes on would learn what the user has deleted, closed or labelled since."""
    if not steps:
        return
    with Store.open(wish.home / STORE_NAME) as store:
        now = from_store(store, check_gguf(path).prompt_style, Templates())
    gone = len(set(steps) - set(now.steps))
    if gone:
        raise InputError(
            f"{gone} of the {len(steps)} replies that the unfinished run learns were deleted, labelled or "
            "kept out of learning since; mleagent learn --sft --fresh begins anew without them"
        )


def _gather(wish: Wish, path: Path) -> Frozen:
    words = Words(path)
    try:
        lessons = lessons_for(wish, check_gguf(path).prompt_style)
        longest = min(wish.recipe.longest, words.head.context_length or wish.recipe.longest)
        data = sequences(lessons.found, words, path.stem, longest)
    finally:
        words.close()
    if not data.found:
        raise InputError(f"all {data.too_long} replies need over {longest} tokens; a larger --max-tokens")
    sources = lessons.sources if wish.file is None else []
    return data, lessons.account(), tuple(sources), tuple(lessons.steps)


def _key(base: Base, wish: Wish) -> str:
    """Names the run's folder: same base, recipe and source, same run."""
    assert base.files is not None
    text = f"{base.files.sha256} {wish.recipe} {wish.file.absolute() if wish.file else ''}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# --- the run's folder --------------------------------------------------------------


def freeze(plan: Plan) -> None:
    """The run's folder with its data, whole or not at all."""
    new = plan.folder.with_name(plan.folder.name + f".{os.getpid()}.new")
    new.mkdir(parents=True)
    found = plan.data.found
    np.savez_compressed(
        new / "data.npz",
        ids=np.concatenate([np.asarray(one.ids, dtype=np.int32) for one in found]),
        mask=np.concatenate([np.asarray(one.mask, dtype=np.uint8) for one in found]),
        lengths=np.asarray([len(one.ids) for one in found], dtype=np.int64),
    )
    kept = {
        "account": plan.account, "sources": plan.sources, "steps": plan.steps,
        "of": [one.source for one in found],
        "counts": [plan.data.exact, plan.data.rendered, plan.data.too_long],
    }  # fmt: skip
    (new / "plan.json").write_text(json.dumps(kept), encoding="utf-8")
    shutil.rmtree(plan.folder, ignore_errors=True)
    os.replace(new, plan.folder)


def thaw(folder: Path) -> Frozen:
    """The data of a run that was begun. Raises InputError."""
    try:
        kept = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        with np.load(folder / "data.npz", allow_pickle=False) as arrays:
            ends = np.cumsum(arrays["lengths"])[:-1]
            ids, masks = np.split(arrays["ids"], ends), np.split(arrays["mask"], ends)
        found = [
            Sequence(of, i.tolist(), m.tolist()) for of, i, m in zip(kept["of"], ids, masks, strict=True)
        ]
        sources, steps = tuple(kept["sources"]), tuple(kept["steps"])
        return Sequences(found, *kept["counts"]), kept["account"], sources, steps
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} can't be gone on with ({error}); --fresh begins anew") from None
