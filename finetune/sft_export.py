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
from mleagent.policy.llama_cpp import LlamaCppPolicy

from .gguf import export_adapter
from .sft_tokens import Sequence

LIBRARIES = ("torch", "transformers", "peft", "gguf", "llama-cpp-python", "mleagent")
MOST = 0.35
"""Largest part of the adapter's effect on the logits that may differ between torch and llama.cpp."""
_CLEAR, _STRONGEST = 10.0, 4.0**8
"""The effect is probed at least so many times above the base's own noise, and at this strength at most."""
_PROMPTS, _TOKENS = 4, 160
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """How an adapter does in llama.cpp what it does in torch, over some prompts' last logits.

    A quantised base computes a little else in llama.cpp than in torch, more than a short training changes;
    so the adapter is made stronger for the probe until its effect stands out.
    """

    effect: float
    """Largest change of a logit by the adapter as it is, in torch."""
    strength: float
    """What it was multiplied by for the comparison."""
    apart: float
    """Root mean square of what differs in the effect, as a part of the effect's own."""


def export(model: Any, base: Base, folder: Path, path: Path, data: Many[Sequence]) -> Probe:
    """Write the adapter of `model` to `path` by way of `folder`. InputError when the probe fails."""
    assert base.files is not None
    saved = folder / "adapter"
    model.save_pretrained(saved)
    try:
        export_adapter(saved, base.files.path, path, metadata={"general.name": path.stem})
        found = probe(model, Path(base.files.path), path, data)
        if not found.apart <= MOST:
            raise InputError(
                f"{path.name}: in llama.cpp the adapter's effect differs from torch's by {found.apart:.0%}; "
                "it is not used"
            )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return found


def probe(model: Any, base: Path, path: Path, data: Many[Sequence]) -> Probe:
    """Compare the adapter at `path` over the GGUF `base` with the one that `model` holds.

    Raises InputError for a file that llama.cpp refuses or that changes nothing.
    """
    prompts = [one.ids[: _end(one)] for one in data[:_PROMPTS]]
    plain = _torch_logits(model, prompts, 0.0)
    policy = LlamaCppPolicy(base, _TOKENS + 96)
    try:
        theirs = _llama_logits(policy, prompts)
        strength, effect = 1.0, _torch_logits(model, prompts, 1.0) - plain
        largest = float(np.abs(effect).max())
        while _size(effect) < _CLEAR * _size(theirs - plain) and strength < _STRONGEST:
            strength *= 4
            effect = _torch_logits(model, prompts, strength) - plain
        policy.set_adapter(path, strength)  # InputError if it changes nothing
        there = _llama_logits(policy, prompts) - theirs
    finally:
        policy.close()
    return Probe(largest, strength, _size(there - effect) / max(1e-30, _size(effect)))


def _size(values: Logits) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def _end(one: Sequence) -> int:
    """Where a prompt is cut: inside the first reply to be learnt, where the adapter matters."""
    return max(2, min(len(one.ids), _TOKENS, one.mask.index(1) + 8))


def _llama_logits(policy: LlamaCppPolicy, prompts: Many[list[int]]) -> Logits:
    return np.stack([policy.logits(ids) for ids in prompts])


def _torch_logits(model: Any, prompts: Many[list[int]], strength: float) -> Logits:
    """Logits after each prompt, the adapter's strength multiplied; (prompts, vocabulary)."""
    import torch

    layers = [one for one in model.modules() if isinstance(getattr(one, "scaling", None), dict)]
    before = [dict(one.scaling) for one in layers]
    try:
        for one, scaling in zip(layers, before, strict=True):
            one.scaling.update({name: value * strength for name, value in scaling.items()})
        with torch.no_grad():
            rows = [
                model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
                for ids in prompts
            ]
            stacked: Logits = torch.stack(rows).float().cpu().numpy()
            return stacked
    finally:
        for one, scaling in zip(layers, before, strict=True):
            one.scaling.update(scaling)


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
