"""Models between Hugging Face, where they are trained, and GGUF, where they run.

`export_model` and `export_adapter` write files for llama.cpp, whole or not at all; `load_for_training`
gives a GGUF back as a trainable torch model with its tokenizer, so that a quantised base is trained on
the very weights it runs with. Qwen2, Qwen3 and Llama families; anything else is refused in one line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mleagent.errors import InputError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Metadata = Mapping[str, str | int | float | bool]


def export_model(
    folder: Path | str, path: Path | str, *, kind: str = "f16", metadata: Metadata | None = None
) -> Path:
    """Writes the model and tokenizer of a Hugging Face `folder` as a GGUF at `path`.

    `kind` is f32, f16 or q8_0 (of matrices; vectors stay f32). `metadata` adds keys, e.g.
    {"general.license": "apache-2.0", "mleagent.prompt_style": "compact"}. Raises InputError.
    """
    from .gguf_folder import Folder
    from .gguf_model import KINDS, write_model

    if kind not in KINDS:
        raise InputError(f"GGUF kind {kind!r}: it is one of {', '.join(KINDS)}")
    source = Folder(Path(folder))
    return _whole(Path(path), lambda new: write_model(source, new, kind, metadata or {}))


def export_adapter(
    folder: Path | str, base: Path | str, path: Path | str, *, metadata: Metadata | None = None
) -> Path:
    """Writes the peft LoRA adapter in `folder`, trained on the GGUF `base`, as a GGUF at `path`.

    Raises InputError for an adapter of another base and for what llama.cpp can't apply
    (DoRA, modules_to_save, trained tokens, biases, initialisations that change the base).
    """
    from .gguf_folder import Folder
    from .gguf_lora import write_adapter

    source = Folder(Path(folder))
    return _whole(Path(path), lambda new: write_adapter(source, Path(base), new, metadata or {}))


def load_for_training(
    path: Path | str, *, dtype: torch.dtype | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The GGUF's weights, dequantised, as a trainable model (float32 unless said) with its tokenizer.

    Raises InputError when the file can't be read or its architecture isn't known.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from .gguf_folder import ARCHITECTURES
    from .gguf_lora import BaseHead
    from .gguf_rope import add_factors, add_scaling

    path = Path(path)
    head = BaseHead(path)
    if head.architecture not in ARCHITECTURES.values():
        raise InputError(f"{path}: a model of architecture {head.architecture} can't be trained here")
    where: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    config = AutoConfig.from_pretrained(**where)
    config.head_dim = head.head_dim  # transformers leaves the key length out
    add_scaling(config, path)
    model = AutoModelForCausalLM.from_pretrained(
        **where, config=config, dtype=dtype or torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    add_factors(model, path)
    return model, AutoTokenizer.from_pretrained(**where)


def _whole(path: Path, write: Callable[[Path], None]) -> Path:
    """Writes beside `path`, then takes its place; leaves nothing behind when that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        write(new)
        with new.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(new, path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        new.unlink(missing_ok=True)
    return path
