"""Models and adapters between Hugging Face and GGUF, checked against real llama.cpp."""

from __future__ import annotations

import ctypes
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
llama_cpp = pytest.importorskip("llama_cpp")

from finetune import gguf as convert  # noqa: E402
from finetune.gguf_lora import scale_of  # noqa: E402
from finetune.nano import release  # noqa: E402
from finetune.nano import tokenizer as nano_tokenizer  # noqa: E402
from finetune.nano.model import SIZES, Decoder, save_hf  # noqa: E402
from mleagent.errors import InputError  # noqa: E402
from mleagent.policy import gguf_check  # noqa: E402

torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other
VOCAB = 512
IDS = [5, 200, 17, 300, 301, 9, 77, 410, 3, 256, 128, 64]
LONG = [(37 * n * n + 11 * n) % 500 for n in range(200)]
"""Far enough for a scaling of positions to show."""
FAMILIES = ["qwen2", "qwen3", "llama", "llama3", "yarn", "linear"]
SCALED = {
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    "linear": {"rope_type": "linear", "factor": 4.0},
}


def family(name: str, **changes: Any) -> Any:
    """A small random model; wide enough that mistakes in rows, heads or positions show."""
    common = {
        "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "tie_word_embeddings": False, **changes,
    }  # fmt: skip
    rope3 = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    if name in ("qwen2", *SCALED):
        extra = {"rope_parameters": {"rope_theta": 10000.0, **SCALED[name]}} if name in SCALED else {}
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**common, **extra))
    elif name == "qwen3":
        model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**{"head_dim": 24, **common}))
    else:
        extra = {"rope_parameters": rope3} if name == "llama3" else {}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**common, **extra))
    for key, weight in model.named_parameters():
        torch.nn.init.normal_(weight, mean=float("norm" in key), std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved model with tokenizer for each family."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    tokenizer = nano_tokenizer.train(texts, VOCAB)
    saved = {}
    for name in FAMILIES:
        saved[name] = tmp_path_factory.mktemp(name) / "tiny"
        family(name).save_pretrained(saved[name])
        nano_tokenizer.save(tokenizer, saved[name])
    return saved


class Llama:
    """llama.cpp's own view of a file: logits of every position, tokens of a text."""

    def __init__(self, path: Path) -> None:
        exact = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}  # F16 is its default
        self.llm = llama_cpp.Llama(
            str(path), n_ctx=256, logits_all=True, verbose=False, n_threads=2, flash_attn=False, **exact
        )

    def logits(self, ids: list[int]) -> Any:
        self.llm.reset()
        self.llm.eval(ids)
        return np.array(self.llm.scores[: len(ids)])

    def adapt(self, path: Path) -> None:
        adapter = llama_cpp.llama_adapter_lora_init(self.llm._model.model, str(path).encode())
        assert adapter, "llama.cpp refuses the adapter"
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        llama_cpp.llama_set_adapters_lora(self.llm._ctx.ctx, adapters, 1, (ctypes.c_float * 1)(1.0))

    def clear(self) -> None:
        llama_cpp.llama_set_adapters_lora(self.llm._ctx.ctx, None, 0, None)


@pytest.fixture
def llama() -> Iterator[Any]:
    opened = []

    def load(path: Path) -> Llama:
        opened.append(Llama(path))
        return opened[-1]

    yield load
    for one in opened:
        one.llm.close()


def torch_logits(model: Any, ids: list[int] = IDS) -> Any:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("kind", "most"), [("f32", 1e-3), ("f16", 0.05), ("q8_0", 0.5)])
def test_llama_cpp_computes_what_torch_does(
    folders: dict[str, Path], llama: Any, tmp_path: Path, name: str, kind: str, most: float
) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folders[name])
    path = convert.export_model(folders[name], tmp_path / "m.gguf", kind=kind)
    expected, got = torch_logits(model), llama(path).logits(IDS)
    assert np.abs(expected).max() > 1
    assert np.abs(expected - got).max() <= most
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


def test_tied_embeddings_and_the_trainers_own_folder(llama: Any, tmp_path: Path) -> None:
    model = Decoder(SIZES["quarter"], seed=2)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    save_hf(model, tmp_path / "hf", torch.float16)
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    nano_tokenizer.save(nano_tokenizer.train(texts), tmp_path / "hf")
    path = tmp_path / "m.gguf"
    assert release.release(tmp_path / "hf", path, "mleagent-nano") < 0.05
    head = gguf_check.check_gguf(path)
    assert (head.architecture, head.name, head.context_length) == ("qwen2", "mleagent-nano", 4096)
    assert "<|im_start|>" in head.chat_template and path.stat().st_size < 3e6
    with torch.no_grad():
        expected = model.logits(torch.tensor(IDS)).numpy()
    got = llama(path)
    assert np.abs(expected - got.logits(IDS)).max() < 0.05
    assert got.llm.metadata["mleagent.prompt_style"] == "compact"
    assert (got.llm.token_eos(), got.llm.metadata["tokenizer.ggml.padding_token_id"]) == (2047, "2045")


@pytest.mark.parametrize("name", FAMILIES[:4])
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_does_in_llama_cpp_what_it_does_in_peft(
    folders: dict[str, Path], llama: Any, tmp_path: Path, name: str, rslora: bool
) -> None:
    peft = pytest.importorskip("peft")
    base = convert.export_model(folders[name], tmp_path / "base.gguf", kind="f32")
    config = peft.LoraConfig(
        r=4, lora_alpha=6, use_rslora=rslora, target_modules="all-linear",
        alpha_pattern={"q_proj": 11, "layers.1.mlp.up_proj": 3}, rank_pattern={"down_proj": 2},
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(folders[name])
    plain = torch_logits(model)
    adapted = peft.get_peft_model(model, config).eval()
    for key, weight in adapted.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(weight, std=0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    expected = torch_logits(adapted)
    path = convert.export_adapter(
        tmp_path / "adapter", base, tmp_path / "a.gguf", metadata={"general.name": "mine"}
    )
    runs = llama(base)
    before = runs.logits(IDS)
    runs.adapt(path)
    after = runs.logits(IDS)
    assert np.abs(expected - plain).max() > 1
    assert np.abs(expected - after).max() < 2e-3
    runs.clear()
    assert np.array_equal(before, runs.logits(IDS))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_a_gguf_loads_for_training(
    folders: dict[str, Path], llama: Any, tmp_path: Path, name: str, kind: str
) -> None:
    path = convert.export_model(folders[name], tmp_path / "m.gguf", kind=kind)
    model, tokenizer = convert.load_for_training(path)
    runs = llama(path)
    for ids in (IDS, LONG):
        apart = np.abs(torch_logits(model.eval(), ids) - runs.logits(ids)).max()
        assert apart < (2e-3 if kind == "f32" else 0.3)
    text = "<|im_start|>user\nx = [1, 22]<|im_end|>\n"
    theirs = transformers.AutoTokenizer.from_pretrained(folders[name])
    assert tokenizer(text, add_special_tokens=False).input_ids == theirs(text).input_ids
    model.train()
    loss = model(torch.tensor([IDS]), labels=torch.tensor([IDS])).loss
    loss.backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0


def test_token_ids_are_equal_on_any_text(folders: dict[str, Path], tmp_path: Path) -> None:
    path = convert.export_model(folders["qwen2"], tmp_path / "m.gguf", kind="f16")
    theirs = transformers.AutoTokenizer.from_pretrained(folders["qwen2"])
    llm = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    pieces = st.sampled_from(
        ["<|im_start|>", "<|im_end|>", "\n", "  ", "\t", "don't", "42", "é", "日本", "🙂", "\r\n"]
    )

    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.text() | pieces).map("".join))
    def same(text: str) -> None:
        text = unicodedata.normalize("NFC", text.replace("\0", ""))  # llama.cpp does not normalise
        assert llm.tokenize(text.encode(), add_bos=False, special=True) == theirs(text).input_ids

    same()
    llm.close()


def test_a_release_that_computes_something_else_is_refused(
    folders: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert release.main([str(folders["qwen2"]), str(tmp_path / "m.gguf")]) == 0
    assert "logits differ from torch's by at most 0.0" in capsys.readouterr().out
    monkeypatch.setattr(release, "MOST", 1e-9)
    assert release.main([str(folders["qwen2"]), str(tmp_path / "m.gguf")]) == 2
    assert "differ from torch's" in capsys.readouterr().err


def changed(folder: Path, target: Path, name: str, **changes: Any) -> Path:
    """A copy of a folder with a JSON file changed."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    content = json.loads((target / name).read_text())
    (target / name).write_text(json.dumps({**content, **changes}))
    return target


def test_models_that_have_no_gguf_form_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    source = folders["qwen2"]
    told = json.loads((source / "tokenizer.json").read_text())
    split = {"type": "Split", "pattern": {"Regex": r"\w+"}, "behavior": "Isolated", "invert": False}
    cases = {
        "can't be exported to GGUF": changed(
            source, tmp_path / "1", "config.json", architectures=["BertModel"]
        ),
        "rotary positions": changed(
            source,
            tmp_path / "2",
            "config.json",
            rope_parameters={"rope_type": "longrope", "rope_theta": 1.0},
        ),
        "splits text": changed(source, tmp_path / "3", "tokenizer.json", pre_tokenizer=split),
        "only byte-level BPE": changed(
            source, tmp_path / "4", "tokenizer.json", model={**told["model"], "type": "Unigram"}
        ),
        "the model only 100": changed(source, tmp_path / "5", "config.json", vocab_size=100),
        "config.json is missing": tmp_path,
    }
    for said, folder in cases.items():
        with pytest.raises(InputError, match=said) as caught:
            convert.export_model(folder, tmp_path / "out" / "m.gguf")
        assert "\n" not in str(caught.value)
    torn = changed(source, tmp_path / "6", "config.json")
    (torn / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="can't be read"):
        convert.export_model(torn, tmp_path / "out" / "m.gguf")
    with pytest.raises(InputError, match="f32, f16, q8_0"):
        convert.export_model(source, tmp_path / "out" / "m.gguf", kind="q4")
    assert list((tmp_path / "out").iterdir()) == []


def test_adapters_that_have_no_gguf_form_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = convert.export_model(folders["qwen2"], tmp_path / "base.gguf")

    def saved(name: str, family_name: str = "qwen2", **options: Any) -> Path:
        config = peft.LoraConfig(r=2, **{"target_modules": ["q_proj"], **options})
        model = family(family_name, **({"hidden_size": 32} if name == "other" else {}))
        peft.get_peft_model(model, config).save_pretrained(tmp_path / name, save_embedding_layers=False)
        return tmp_path / name

    cases = {
        "DoRA": saved("dora", use_dora=True),
        "modules_to_save": saved("heads", modules_to_save=["lm_head"]),
        "changes the base": saved("pissa", init_lora_weights="pissa"),
        "bias": saved("bias", bias="lora_only"),
        "only LoRA of linear layers": saved("embed", target_modules=["embed_tokens"]),
        "trained on another base": saved("other"),
    }
    for said, folder in cases.items():
        with pytest.raises(InputError, match=said) as caught:
            convert.export_adapter(folder, base, tmp_path / "a.gguf")
        assert "\n" not in str(caught.value)
    (tmp_path / "broken.gguf").write_bytes(base.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"broken\.gguf can't be read"):
        convert.export_adapter(saved("fine"), tmp_path / "broken.gguf", tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


def test_scales_are_pefts() -> None:
    told = {"lora_alpha": 8, "alpha_pattern": {r"layers\.1\..*q_proj": 32}, "use_rslora": False}
    assert scale_of(told, "model.layers.0.self_attn.q_proj", 4) == 2
    assert scale_of(told, "model.layers.1.self_attn.q_proj", 4) == 8
    assert scale_of({**told, "use_rslora": True}, "model.layers.0.self_attn.q_proj", 4) == 4


def test_a_file_too_large_for_the_disk_leaves_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (tmp_path / "m.gguf").write_bytes(b"before")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(InputError, match=r"m\.gguf can't be written"):
            convert.export_model(folders["qwen2"], tmp_path / "m.gguf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "m.gguf").read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1
