"""Exploration-enriched fine-tuning's second half, for the user: `mleagent learn --sft`.

Takes a `Plan` (see `sft_plan`): trains, exports, probes, and enters the adapter in the ledger as a candidate.
The run's folder goes when that is done; until then the same command goes on with it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mleagent.errors import InputError
from mleagent.models import Adapter, Ledger, Provenance
from mleagent.trajectory.store import STORE_NAME, Store

from .sft_export import Probe, enter, export, free_name, place, versions
from .sft_plan import Plan, Wish, freeze
from .sft_train import Trained, train


def learn(wish: Wish, plan: Plan, say: Callable[[str], None]) -> tuple[Adapter, Trained, Probe]:
    """Train, export, probe, enter. Raises Stopped (the run can go on) and MleagentError."""
    ledger = Ledger(wish.home)
    with _alone(plan.folder.parent):
        if not (plan.going_on and plan.folder.is_dir()):
            freeze(plan)
        seconds = wish.max_minutes * 60
        assert plan.base.files is not None
        trained = train(
            Path(plan.base.files.path), plan.data, wish.recipe, plan.fit, plan.folder, say, seconds
        )
        path = place(ledger, wish.name or free_name(ledger, plan.base))
        probe = export(trained.model, plan.base, plan.folder, path, plan.data.found)
        adapter = enter(ledger, plan.base, path, _provenance(wish, plan, trained))
    if plan.sources:
        with Store.open(wish.home / STORE_NAME) as store:
            store.add_adapter(adapter.name, plan.sources)
    shutil.rmtree(plan.folder, ignore_errors=True)
    return adapter, trained, probe


def _provenance(wish: Wish, plan: Plan, trained: Trained) -> Provenance:
    judged = "held-out" if trained.held_out else "training"
    return Provenance(
        config={
            **wish.recipe.words(), "kind": "sft", "data": plan.account, "updates": str(trained.updates),
            f"{judged} loss": f"{trained.before:.4f} before, {trained.after:.4f} after",
            **({"file": str(wish.file)} if wish.file else {}),
        },
        seed=wish.recipe.seed,
        data=(plan.data.digest(),),
        sessions=plan.sources,
        versions=versions(),
    )  # fmt: skip


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second learner out: a machine trains one model at a time. Raises InputError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another mleagent learn works in {folder}; wait for it or end it") from None
        yield
