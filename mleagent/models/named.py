"""From the words after `--model` to a policy, the ledger's names included.

`policy.choose` knows words, paths and addresses, and may not know the ledger (it is below); this looks
names up there first and hands on what they stand for.
"""

from __future__ import annotations

from ..config import Settings, data_home
from ..policy.choose import Notice, choose
from ..protocols import Policy
from .active import FREE_WORDS, resolve
from .ledger import Ledger


def policy_named(
    setting: str, settings: Settings, seed: int = 0, notice: Notice | None = None, *, unfit: str = ""
) -> Policy:
    """The policy that `setting` names; `auto` or nothing means the configured model.

    `unfit` says why small models with compact prompts can't do this task (empty: they can). Raises
    InputError, UnavailableError, PolicyError.
    """
    name = setting.strip()
    if name in ("", "auto"):
        name = settings.model.strip() or "auto"
    if name in FREE_WORDS or "://" in name or name.lower().endswith(".gguf"):
        return choose(name, settings, seed, notice, unfit=unfit)  # whatever state the ledger is in
    ledger = Ledger(data_home())
    ready = resolve(ledger, name)
    if ready is None:
        return choose(name, settings, seed, notice, unfit=unfit, names=ledger.names())
    if ready.endpoint_model:
        settings = settings.model_copy(update={"endpoint_model": ready.endpoint_model})
    return choose(ready.model, settings, seed, notice, unfit=unfit, adapter=ready.adapter)
