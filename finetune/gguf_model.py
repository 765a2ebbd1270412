"""Writes a model folder of Hugging Face as one GGUF file, tensor by tensor.

Takes a `Folder` of the Qwen2, Qwen3 or Llama family; gives the file llama.cpp loads. Matrices are
stored as asked (F32, F16 or Q8_0), vectors always in F32 as llama.cpp wants. Llama's query and key
rows are reordered, because llama.cpp turns neighbouring pairs where Hugging Face turns halves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from mleagent.errors import InputError

from .gguf_folder import Folder, rope
from .gguf_tokenizer import add_tokenizer

KINDS = {"f32": Kind.F32, "f16": Kind.F16, "q8_0": Kind.Q8_0}
_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def write_model(
    folder: Folder, path: Path, kind: str, metadata: Mapping[str, str | int | float | bool]
) -> None:
    """Writes the GGUF to `path`; `metadata` adds keys (a `general.name` among them replaces the folder's).

    Raises InputError for what can't be exported, OSError for a full disk.
    """
    writer = gguf.GGUFWriter(str(path), folder.architecture)
    try:
        _add_config(writer, folder, kind, metadata)
        add_tokenizer(writer, folder, folder.config["vocab_size"])
        plan = _plan(folder, kind)
        for name, (_, shape, stored) in plan.items():
            size = np.prod(shape, dtype=np.int64)
            block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
            # the dtype only matters for uint8, which would mean a shape in bytes
            writer.add_tensor_info(
                name, shape, np.dtype(np.float32), int(size // block * block_bytes), stored
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for source, _, stored in plan.values():
            writer.write_tensor_data(gguf.quants.quantize(_values(folder, source), stored))
    except KeyError as error:
        raise InputError(f"{folder.path}: its config lacks {error}") from None
    finally:
        writer.close()


def _plan(folder: Folder, kind: str) -> dict[str, tuple[str, tuple[int, ...], Kind]]:
    """GGUF name to source tensor, shape and stored kind; InputError for a tensor without a place."""
    names = name_map(folder.architecture, folder.config["num_hidden_layers"])
    plan = {}
    tied = folder.config.get("tie_word_embeddings", False)
    for source in folder.tensors:
        if source.endswith("rotary_emb.inv_freq") or (tied and source == "lm_head.weight"):
            continue
        target = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise InputError(f"{folder.path}: {folder.architecture} has no place for the tensor {source}")
        shape = folder.shape(source)
        stored = KINDS[kind] if len(shape) == 2 else Kind.F32
        if stored is Kind.Q8_0 and shape[-1] % 32:
            stored = Kind.F16
        plan[target] = (source, shape, stored)
    if _llama3(folder):
        plan["rope_freqs.weight"] = ("rope_freqs", (head_dim(folder.config) // 2,), Kind.F32)
    return plan


def _values(folder: Folder, source: str) -> NDArray[np.float32]:
    if source == "rope_freqs":
        return llama3_factors(folder.config)
    values = folder.tensor(source)
    if folder.architecture == "llama":
        config = folder.config
        if source.endswith(("q_proj.weight", "q_proj.bias")):
            values = permute(values, config["num_attention_heads"])
        elif source.endswith(("k_proj.weight", "k_proj.bias")):
            values = permute(values, config.get("num_key_value_heads") or config["num_attention_heads"])
    return np.ascontiguousarray(values, dtype=np.float32)


def name_map(architecture: str, layers: int) -> gguf.TensorNameMap:
    """Hugging Face's tensor names to GGUF's."""
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    return gguf.get_tensor_name_map(number, layers)


def permute(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from halves to pairs (llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute)."""
    shape = values.shape
    split = values.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(shape))


def head_dim(config: Mapping[str, Any]) -> int:
    """Width of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _add_config(writer: gguf.GGUFWriter, folder: Folder, kind: str, metadata: Mapping[str, Any]) -> None:
    config = folder.config
    heads = config["num_attention_heads"]
    if "general.name" not in metadata:
        writer.add_name(folder.path.resolve().name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config.get("head_dim"):
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if folder.architecture == "llama":
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(head_dim(config))
    if config.get("use_sliding_window"):
        raise InputError(f"{folder.path}: sliding-window attention can't be exported")
    writer.add_file_type(_FILE_TYPES[kind])
    _add_rope(writer, folder)
    for key, value in metadata.items():
        _add_key(writer, key, value)


def _add_rope(writer: gguf.GGUFWriter, folder: Folder) -> None:
    told = rope(folder.config)
    writer.add_rope_freq_base(told["rope_theta"])
    kind = told["rope_type"]
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(float(told["factor"]))
        if kind == "yarn":
            original = (
                told.get("original_max_position_embeddings") or folder.config["max_position_embeddings"]
            )
            writer.add_rope_scaling_orig_ctx_len(int(original))
    elif kind not in ("default", "llama3"):
        raise InputError(f"{folder.path}: rotary positions of type {kind!r} can't be exported")


def _add_key(writer: gguf.GGUFWriter, key: str, value: str | int | float | bool) -> None:
    kinds = {
        bool: gguf.GGUFValueType.BOOL, str: gguf.GGUFValueType.STRING,
        int: gguf.GGUFValueType.INT64, float: gguf.GGUFValueType.FLOAT64,
    }  # fmt: skip
    writer.add_key_value(key, value, kinds[type(value)])


def _llama3(folder: Folder) -> bool:
    return bool(rope(folder.config)["rope_type"] == "llama3")


def llama3_factors(config: Mapping[str, Any]) -> NDArray[np.float32]:
    """What llama.cpp divides each frequency by, (head_dim / 2,).

    Llama 3.1's scheme, as transformers' `_compute_llama3_parameters` has it.
    """
    told = rope(config)
    turns = told["rope_theta"] ** -(np.arange(0, head_dim(config), 2, dtype=np.float64) / head_dim(config))
    wavelength = 2 * math.pi / turns
    context, factor = told["original_max_position_embeddings"], told["factor"]
    low, high = told["low_freq_factor"], told["high_freq_factor"]
    smooth = np.clip((context / wavelength - low) / (high - low), 0.0, 1.0)
    return np.asarray(1 / ((1 - smooth) / factor + smooth), dtype=np.float32)
