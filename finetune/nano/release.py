"""A trained model's Hugging Face folder as the GGUF file that mleagent ships and runs.

`python -m finetune.nano.release OUT/hf mleagent-nano.gguf --name mleagent-nano` writes it in F16 with
what the agent reads of it (compact prompts), loads it in llama.cpp and compares logits with torch's:
a file that computes something else is an error, not a release.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from mleagent.errors import InputError, MleagentError

from ..gguf import export_model

MOST = 0.1
"""Largest difference of a logit that F16 arithmetic explains."""


def release(folder: Path, path: Path, name: str, kind: str = "f16") -> float:
    """Writes `path` once it is checked; gives the largest difference of a logit, InputError above `MOST`."""
    metadata = {
        "general.name": name,
        "general.license": "apache-2.0",
        "general.description": "Trained from scratch for mleagent on synthetic tasks; for small tables only",
        "mleagent.prompt_style": "compact",
    }
    new = path.with_name(f"{path.name}.{os.getpid()}.unchecked")
    try:
        export_model(folder, new, kind=kind, metadata=metadata)
        error = difference(folder, new)
        if not error <= MOST:  # so that nan is refused too
            raise InputError(f"{path}: logits in llama.cpp differ from torch's by {error:.3f}; not released")
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
    return error


def difference(folder: Path, path: Path) -> float:
    """Largest difference between llama.cpp's and torch's logits after a chat's first tokens."""
    import llama_cpp
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "<|im_start|>user\nrows: few\ntarget: two classes<|im_end|>\n<|im_start|>assistant\nPlan:"
    ids = tokenizer(text).input_ids
    with torch.no_grad():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        expected = model(torch.tensor([ids])).logits[0].numpy()
    exact = llama_cpp.GGML_TYPE_F32  # of what attention remembers; F16 by default
    llm = llama_cpp.Llama(
        str(path), n_ctx=256, logits_all=True, verbose=False, n_threads=1, type_k=exact, type_v=exact
    )
    try:
        if llm.tokenize(text.encode(), add_bos=False, special=True) != ids:
            raise InputError(f"{path}: llama.cpp splits text into other tokens than its tokenizer.json")
        llm.eval(ids)
        return float(np.abs(np.array(llm.scores[: len(ids)]) - expected).max())
    finally:
        llm.close()


def main(arguments: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m finetune.nano.release", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", default="mleagent-nano")
    options = parser.parse_args(arguments)
    try:
        error = release(options.folder, options.path, options.name)
    except MleagentError as problem:
        sys.stderr.write(f"release: {problem}\n")
        return problem.exit_code
    size = options.path.stat().st_size / 1e6
    print(f"{options.path}: {size:.1f} MB, logits differ from torch's by at most {error:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
