"""mleagent-nano and its quarter-size sibling: corpus, tokenizer, training from scratch, packing.

Importing this package imports nothing heavy. `model`, `data`, `checkpoint` and `train` need only
torch, transformers, safetensors and numpy, so that training runs on a bare machine with a GPU.
"""
