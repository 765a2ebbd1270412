"""The part of fine-tuning that needs torch: the model with LoRA, the masked loss, the Trainer.

Imported by `sft_train` when a run begins, so that everything before it works without torch loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Sequence as Many
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from .gguf import load_for_training
from .sft_fit import Fit, give_memory_back
from .sft_tokens import Sequence

if TYPE_CHECKING:
    from .sft_train import Recipe, Watch

_IGNORED = -100
_WARMUP = 0.05
"""Part of the updates over which the rate rises; rounded down, for the first of them has a rate of zero."""


def lora_on(base: Path, recipe: Recipe, fit: Fit, linear: Many[str]) -> Any:
    """The base, dequantised and frozen, with a fresh LoRA on its linear layers."""
    if fit.recompute and fit.device == "cpu":
        give_memory_back()
    set_seed(recipe.seed)
    model: Any = load_for_training(base, dtype=torch.bfloat16 if fit.device == "cuda" else torch.float32)[0]
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(linear), lora_dropout=0.0,
        bias="none", task_type="CAUSAL_LM",
    )  # fmt: skip
    adapted = get_peft_model(model.to(fit.device), config)
    adapted.peft_config["default"].base_model_name_or_path = ""  # else peft asks the hub about it
    return adapted


def masked_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of the nats of the learnt tokens; ids and labels are (1, tokens), labels -100 where not learnt."""
    places = (labels[0] != _IGNORED).nonzero()[:, 0]
    logits = model(input_ids=ids, logits_to_keep=places - 1, use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), labels[0, places], reduction="sum")


def loss_of(model: Any, sequences: Iterable[Sequence]) -> float:
    """Nats a learnt token over all sequences; the model is left in the mode it was in."""
    was, total, count = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for one in sequences:
            batch = {key: value.to(model.device) for key, value in _batch([one]).items()}
            total += float(masked_loss(model, batch["input_ids"], batch["labels"]))
            count += one.learnt
    model.train(was)
    return total / max(1, count)


def _batch(rows: Many[Sequence]) -> dict[str, torch.Tensor]:
    """One sequence as tensors (1, tokens); nothing is padded."""
    (row,) = rows
    labels = [token if learnt else _IGNORED for token, learnt in zip(row.ids, row.mask, strict=True)]
    return {"input_ids": torch.tensor([row.ids]), "labels": torch.tensor([labels])}


class _Masked(Trainer):
    """Trainer with logits and loss at the learnt tokens only (its own computes them for all)."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Nats a learnt token of the whole update, so that long replies don't outweigh many short ones."""
        loss = masked_loss(model, inputs["input_ids"], inputs["labels"])
        count = (inputs["labels"] != _IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return loss / count


class _Watched(TrainerCallback):
    """Hands what happens on to a `Watch`, and its wishes back."""

    def __init__(self, watch: Watch, folder: Path) -> None:
        self._watch, self._folder = watch, folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_more: Any) -> None:
        self._watch.begin(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_more: Any) -> None:
        stop, control.should_save = self._watch.step(state.global_step, state.max_steps)
        control.should_training_stop = control.should_training_stop or stop

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_more: Any) -> None:
        if logs and "loss" in logs:
            self._watch.log(state.global_step, state.max_steps, float(logs["loss"]))

    def on_save(self, args: Any, state: Any, control: Any, **_more: Any) -> None:
        self._watch.whole(self._folder / f"checkpoint-{state.global_step}")


def trainer_of(
    model: Any, learn: list[Sequence], recipe: Recipe, fit: Fit, folder: Path, watch: Watch
) -> Trainer:
    """Everything set, nothing begun."""
    gpu = fit.device == "cuda"
    updates = math.ceil(len(learn) / recipe.batch) * recipe.epochs
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=recipe.epochs, learning_rate=recipe.lr,
        per_device_train_batch_size=1, gradient_accumulation_steps=recipe.batch,
        lr_scheduler_type="cosine", warmup_steps=int(updates * _WARMUP), weight_decay=0.0, max_grad_norm=1.0,
        seed=recipe.seed, use_cpu=not gpu, bf16=gpu, activation_checkpointing=fit.recompute,
        activation_checkpointing_kwargs={"use_reentrant": False}, logging_steps=1, save_strategy="no",
        save_total_limit=2, report_to=[], disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=gpu, logging_nan_inf_filter=False,
    )  # fmt: skip
    trainer = _Masked(
        model=model, args=arguments, train_dataset=learn, data_collator=_batch,
        callbacks=[_Watched(watch, folder)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer
