"""A trained LoRA becomes an adapter that counts: GGUF, probed in llama.cpp, entered in the ledger.

Takes the peft model, the base's file and some of the data; gives the ledger's entry, a candidate. What
llama.cpp computes with the adapter is compared with torch: a file that does something else, or nothing, is
an error and never enters the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mleagent.errors import InputError
from mleagent.models import Adapter, Base, Ledger, Provenance
from mleagent.models.add import add_adapter

from .gguf import export_adapter
from .sft_tokens import Sequence

LIBRARIES = ("torch", "transformers", "peft", "gguf", "llama-cpp-python", "mleagent")
MOST = 0.35
"""Largest part of the adapter's effect on the logits that may differ between torch and llama.cpp."""
_PROMPTS, _TOKENS = 4, 160
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """How an adapter does in llama.cpp what it does in torch, over some prompts' last logits."""

    effect: float
    """Largest change of a logit by the adapter, in llama.cpp."""
    apart: float
    """Root mean square of what differs in the effect, as a part of the effect's own."""
    error: float
    """Largest difference of an adapted logit between the two."""


def export(model: Any, base: Base, folder: Path, path: Path, data: Many[Sequence]) -> Probe:
    """Write the adapter of `model` to `path` by way of `folder`. InputError when the probe fails."""
    assert base.files is not None
    saved = folder / "adapter"
    model.save_pretrained(saved)
    try:
        export_adapter(saved, base.files.path, path, metadata={"general.name": path.stem})
        probe = _probe(model, Path(base.files.path), path, data)
        if not probe.apart <= MOST:
            raise InputError(
                f"{path.name}: in llama.cpp the adapter's effect differs from torch's by {probe.apart:.0%}; "
                "it is not used"
            )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return probe


def _probe(model: Any, base: Path, path: Path, data: Many[Sequence]) -> Probe:
    from mleagent.policy.llama_cpp import LlamaCppPolicy

    prompts = [one.ids[: _end(one)] for one in data[:_PROMPTS]]
    with_it, without = _torch_logits(model, prompts)
    policy = LlamaCppPolicy(base, _TOKENS + 96)
    try:
        plain = [policy.logits(ids) for ids in prompts]
        policy.set_adapter(path)  # InputError if it changes nothing
        adapted = [policy.logits(ids) for ids in prompts]
    finally:
        policy.close()
    here, there = np.stack(with_it) - np.stack(without), np.stack(adapted) - np.stack(plain)
    apart = float(np.sqrt(np.mean((here - there) ** 2) / max(1e-30, float(np.mean(here**2)))))
    error = float(np.abs(np.stack(with_it) - np.stack(adapted)).max())
    return Probe(float(np.abs(there).max()), apart, error)


def _end(one: Sequence) -> int:
    """Where a prompt is cut: inside the first reply to be learnt, where the adapter matters."""
    return max(2, min(len(one.ids), _TOKENS, one.mask.index(1) + 8))


def _torch_logits(model: Any, prompts: Many[list[int]]) -> tuple[list[Logits], list[Logits]]:
    """Logits after each prompt, with the adapter and without it."""
    import torch

    def last(ids: list[int]) -> Logits:
        tokens = torch.tensor([ids], device=model.device)
        values: Logits = model(input_ids=tokens, use_cache=False).logits[0, -1].float().cpu().numpy()
        return values

    with torch.no_grad():
        with_it = [last(ids) for ids in prompts]
        with model.disable_adapter():
            return with_it, [last(ids) for ids in prompts]


def free_name(ledger: Ledger, base: Base) -> str:
    """`BASE-sft-N`, the first that no entry and no file has."""
    number = 1
    while ledger.find(f"{base.name}-sft-{number}") or place(ledger, f"{base.name}-sft-{number}").exists():
        number += 1
    return f"{base.name}-sft-{number}"


def place(ledger: Ledger, name: str) -> Path:
    """Where an adapter of our own lies."""
    return ledger.home / "models" / "adapters" / f"{name}.gguf"


def enter(ledger: Ledger, base: Base, path: Path, provenance: Provenance) -> Adapter:
    """The adapter as a candidate; a base that has no entry yet gets one."""
    from mleagent.models.active import parent_of
    from mleagent.models.add import add_base

    assert base.files is not None
    known = ledger.base_of_hash(base.files.sha256)
    if known is None and not _bundled(base):
        known = add_base(ledger, Path(base.files.path), base.name)
    adapter = add_adapter(ledger, path, (known or base).name, path.stem, provenance=provenance, owned=True)
    assert parent_of(ledger, adapter) is not None
    return adapter


def _bundled(base: Base) -> bool:
    from mleagent.models.bundled import bundled_of_hash

    return base.files is not None and bundled_of_hash(base.files.sha256) is not None


def versions() -> dict[str, str]:
    """Of the libraries that a run depends on."""
    return {name: version(name) for name in LIBRARIES}
