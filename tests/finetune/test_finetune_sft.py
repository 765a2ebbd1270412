"""Fine-tuning on one's own good steps: real sessions in a real store, a tiny model, llama.cpp asked."""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import agent_kit as kit
import numpy as np
import pytest
from gguf_maker import make_gguf

torch = pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
pytest.importorskip("peft")

from finetune import sft, sft_export, sft_fit, sft_plan, sft_train, sft_trainer  # noqa: E402
from finetune.conversation import Conversation, Turn, append  # noqa: E402
from finetune.gguf import export_adapter  # noqa: E402
from finetune.own_steps import Lesson, from_store, verdict  # noqa: E402
from finetune.sft_tokens import Sequence, Sequences, Words, sequences  # noqa: E402
from finetune.sft_train import Recipe  # noqa: E402
from mleagent.agent.templates import Templates  # noqa: E402
from mleagent.config import load_settings  # noqa: E402
from mleagent.errors import InputError, UnavailableError  # noqa: E402
from mleagent.models import Ledger  # noqa: E402
from mleagent.models.add import add_base  # noqa: E402
from mleagent.models.named import policy_named  # noqa: E402
from mleagent.policy.llama_cpp import LlamaCppPolicy  # noqa: E402
from mleagent.records import Message  # noqa: E402
from mleagent.trajectory.store import STORE_NAME, Store  # noqa: E402

torch.set_num_threads(1)
GOOD, WORSE = kit.program(0.0), kit.program(0.6)
FIRST = kit.write(WORSE, plan="first <|im_end|> try")
BETTER = kit.write(GOOD, plan="zero")
FAILS = kit.write("raise SystemExit('no')")
SHORT = """import pandas as pd
s, t = (pd.read_csv(name) for name in ("sample_submission.csv", "test.csv"))
s["y"] = (t.x > 0) * 1
s.to_csv("submission.csv", index=False)
"""
REPAIRED = kit.write(kit.program(0.7), plan="mended")
RECIPE = Recipe(rank=4, alpha=8, lr=4e-2, epochs=4, batch=1, longest=9000)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that reads full prompts."""
    return make_gguf(tmp_path_factory.mktemp("base") / "tiny.gguf", n_ctx=16384, width=32)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with two sessions: one with every kind of step, one kept out of learning."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLEAGENT_HOME", str(home))
        replies = [FAILS, FIRST, "what?", BETTER, FAILS, REPAIRED, FIRST + "\n", kit.SUBMIT]
        kit.run(kit.make_task(home / "open"), replies)
        closed = kit.make_task(home / "closed")
        with (closed / "mleagent.toml").open("a", encoding="utf-8") as options:
            options.write("[learn]\nuse = false\n")
        kit.run(closed, [BETTER, kit.SUBMIT])
    yield home


@pytest.fixture
def home(sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for this test alone."""
    shutil.copytree(sessions, tmp_path / "home")
    monkeypatch.setenv("MLEAGENT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def words(base: Path) -> Iterator[Words]:
    found = Words(base)
    yield found
    found.close()


def lessons_of(home: Path, style: str = "full") -> Any:
    with Store.open(home / STORE_NAME) as store:
        return from_store(store, style, Templates())


# --- which steps ------------------------------------------------------------------


def test_what_measured_well_is_taken_and_all_else_is_counted(home: Path) -> None:
    lessons = lessons_of(home)
    assert [one.reply for one in lessons.found] == [FIRST, BETTER, REPAIRED, kit.SUBMIT]
    assert lessons.taken == {
        "first valid": 1, "better than the best": 1, "repaired": 1, "submitted after a good step": 1,
    }  # fmt: skip
    assert lessons.left == {"failed": 2, "no better": 1}
    assert lessons.closed == {"kept out of learning": 1}
    assert "taken: 4 replies of 1 sessions" in lessons.account()
    # the malformed reply and the request to repair it are context of the reply that came of it
    assert [m.content for m in lessons.found[1].prompt if m.role == "assistant"] == [FAILS, FIRST, "what?"]


def test_labels_win_over_measurements(home: Path) -> None:
    with Store.open(home / STORE_NAME) as store:
        session = next(s for s in store.sessions() if s.task.learn)
        steps = store.steps(session.id)
        for step in steps:
            store.add_label(step.id, "-")
        store.add_label(steps[0].id, "+")  # failed, but the user likes it
        store.add_label(steps[1].id, "+")
        store.add_label(steps[1].id, "undone")
    lessons = lessons_of(home)
    assert [one.reply for one in lessons.found] == [FAILS]
    assert lessons.left == {"labelled -": 5, "undone": 1}


def test_beating_the_best_means_by_more_than_its_noise(home: Path) -> None:
    with Store.open(home / STORE_NAME) as store:
        steps = store.steps(next(s for s in store.sessions() if s.task.learn).id)

    def judged(score_se: float, **facts: Any) -> str:
        step = steps[2]
        assert step.score is not None
        score = step.score.model_copy(update={"se": score_se})
        changed = step.model_copy(update={"score": score, "facts": step.facts.model_copy(update=facts)})
        return verdict(changed, steps[:2], [], False)[1]

    unknown = {
        "utility": None,
        "delta_utility": None,
        "delta_se": None,
    }  # as scores of a project's own have it
    assert (
        judged(0.01, delta_utility=0.02, delta_se=0.01) == judged(0.01, **unknown) == "better than the best"
    )
    assert judged(0.01, delta_utility=0.02, delta_se=0.03) == judged(0.9, **unknown) == "no better"
    assert judged(0.01, utility=0.005) == "no better than a constant"


def test_a_folder_closed_since_counts_as_closed(home: Path, sessions: Path) -> None:
    options = sessions / "open" / "mleagent.toml"  # where the session's task lies
    before = options.read_text(encoding="utf-8")
    options.write_text(before + "[learn]\nuse = false\n", encoding="utf-8")
    try:
        assert lessons_of(home).closed == {"kept out of learning": 2}
    finally:
        options.write_text(before, encoding="utf-8")


def test_prompts_of_another_style_are_left_out(home: Path, tmp_path: Path) -> None:
    small = make_gguf(tmp_path / "small.gguf", style="compact", n_ctx=4096)
    replies = [kit.write(SHORT), kit.SUBMIT]
    solver, _ = kit.run(kit.make_task(home / "small"), replies, model=str(small))
    compact, full = lessons_of(home, "compact"), lessons_of(home, "full")
    assert compact.sources == [solver.session.id] and len(full.sources) == 1
    assert [lessons.closed["with prompts of another style"] for lessons in (compact, full)] == [1, 1]


def test_a_step_with_a_secret_is_never_learnt_nor_its_exact_tokens(home: Path) -> None:
    secret = kit.write(GOOD + '# key = "sk-proj-' + "a1B2c3D4e5F6g7H8" * 3 + '"\n')
    kit.run(kit.make_task(home / "secret"), [secret, kit.SUBMIT])
    lessons = lessons_of(home)
    assert lessons.left["with a secret"] == 1
    assert "sk-proj" not in repr(lessons.found)


# --- tokens -----------------------------------------------------------------------


def test_a_session_is_one_sequence_that_learns_only_its_good_replies(
    home: Path, base: Path, words: Words
) -> None:
    lessons = lessons_of(home).found
    data = sequences(lessons, words, "tiny", 9000)
    (one,) = data.found
    assert (data.exact, data.rendered, data.too_long) == (0, 4, 0)
    learnt = [token for token, on in zip(one.ids, one.mask, strict=True) if on]
    said = words.spell(learnt).decode()
    assert said == FIRST + BETTER + REPAIRED + kit.SUBMIT
    assert sum(words.ends(token) for token in learnt) == 4  # `<|im_end|>` in a plan is only text
    policy = LlamaCppPolicy(base, 9000, n_threads=1)
    try:
        served = list(policy.prompt_ids(lessons[0].prompt))
    finally:
        policy.close()
    assert one.ids[: len(served)] == served and not any(one.mask[: len(served)])


def test_what_the_base_itself_sampled_is_used_to_the_token(home: Path, tmp_path: Path) -> None:
    said = make_gguf(tmp_path / "talker.gguf", says=kit.write(SHORT), n_ctx=16384)
    policy: Any = LlamaCppPolicy(said, n_threads=1)
    try:
        solver, _ = kit.run(kit.make_task(home / "talk"), [], policy=policy, steps="2")
    finally:
        policy.close()
    completion = solver.steps[0].completion
    assert completion is not None and completion.token_ids
    lessons = [one for one in lessons_of(home).found if one.source == solver.session.id]
    words = Words(said)
    try:
        data = sequences(lessons, words, "talker", 16000)
        other = sequences([replace(lessons[0], model="another")], words, "talker", 16000)
    finally:
        words.close()
    assert (data.exact, data.rendered, other.exact, other.rendered) == (1, 0, 0, 1)
    assert data.found[0].ids == [*completion.prompt_ids, *completion.token_ids]
    assert data.found[0].learnt == len(completion.token_ids)


def test_branches_learn_their_common_trunk_once(words: Words) -> None:
    def lesson(prompt: tuple[int, ...], reply: tuple[int, ...]) -> Lesson:
        text = words.spell(reply).decode()
        return Lesson("s", (Message(role="user", content="q"),), text, prompt, reply, "tiny")

    trunk, left, right = (65, 66), (67, 68), (69, 70)
    data = sequences(
        [
            lesson(trunk, left),
            lesson((*trunk, *left, 71), right),
            lesson((*trunk, *left, 72), right),
        ],
        words, "tiny", 100,
    )  # fmt: skip
    assert [one.ids for one in data.found] == [[65, 66, 67, 68, 71, 69, 70], [65, 66, 67, 68, 72, 69, 70]]
    assert [one.mask for one in data.found] == [[0, 0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1]]
    assert sequences([lesson(trunk, left)], words, "tiny", 3).too_long == 1


# --- training ---------------------------------------------------------------------


def fit_of(base: Path, data: Sequences) -> sft_fit.Fit:
    return sft_fit.fit(base, data, RECIPE.rank, RECIPE.epochs, ("cpu", 8e9))


def test_the_loss_is_that_of_the_marked_tokens(base: Path) -> None:
    one = Sequence("s", list(range(40, 80)), [0] * 20 + [1] * 5 + [0] * 10 + [1] * 5)
    model = sft_trainer.lora_on(base, RECIPE, fit_of(base, Sequences([one])), sft_fit.LINEAR)
    labels = torch.tensor([[t if on else -100 for t, on in zip(one.ids, one.mask, strict=True)]])
    with torch.no_grad():
        theirs = float(model(input_ids=torch.tensor([one.ids]), labels=labels).loss)
    assert sft_trainer.loss_of(model, [one]) == pytest.approx(theirs, rel=1e-5)
    elsewhere = replace(one, ids=[*one.ids[:36], 1, 2, 3, 4], mask=[*one.mask[:35], *[0] * 5])
    shorter = replace(one, mask=elsewhere.mask)
    assert sft_trainer.loss_of(model, [elsewhere]) == pytest.approx(sft_trainer.loss_of(model, [shorter]))


def test_an_update_weighs_tokens_and_not_replies(base: Path, tmp_path: Path) -> None:
    short = Sequence("a", list(range(40, 60)), [0] * 18 + [1] * 2)
    long = Sequence("b", list(range(100, 160)), [0] * 10 + [1] * 50)
    data = Sequences([short, long])
    recipe = replace(RECIPE, batch=2, epochs=1)
    trained = sft_train.train(base, data, recipe, fit_of(base, data), tmp_path, print)
    first = json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(trained.before, abs=1e-4)
    assert trained.updates == 1 and trained.after < trained.before


def test_memory_is_refused_before_anything_is_loaded(base: Path) -> None:
    data = Sequences([Sequence("s", [1] * 4000, [0] * 3000 + [1] * 1000)])
    roomy = sft_fit.fit(base, data, 16, 2, ("cpu", 64e9))
    spare = sft_fit.fit(base, data, 16, 2, ("cpu", roomy.need - 1e6))
    assert not roomy.recompute and spare.recompute and spare.need < roomy.need
    with pytest.raises(UnavailableError, match=r"tiny.gguf needs about .* GB .* take a smaller base"):
        sft_fit.fit(base, data, 16, 2, ("cpu", 1e6))


def wish_for(home: Path, base: Path, **more: Any) -> sft_plan.Wish:
    return sft_plan.Wish(home, RECIPE, str(base), **more)


def test_learning_ends_with_a_candidate_that_llama_cpp_uses(home: Path, base: Path) -> None:
    wish = wish_for(home, base)
    plan = sft_plan.plan(wish)
    assert not (home / "learn").exists()
    said: list[str] = []
    adapter, trained, probe = sft.learn(wish, plan, said.append)
    assert trained.after < trained.before - 0.4 and trained.updates == plan.updates == 4
    assert probe.apart < 0.1 and probe.effect > 0.1
    assert (adapter.name, adapter.state, adapter.parent_name) == ("tiny-sft-1", "candidate", "tiny")
    assert adapter.provenance.sessions == plan.sources and len(plan.sources) == 1
    assert adapter.provenance.config["lr"] == "0.04" and "peft" in adapter.provenance.versions
    assert [path.name for path in (home / "learn").iterdir()] == ["lock"]
    assert any("update 4 of 4 · loss" in line for line in said)
    with Store.open(home / STORE_NAME) as store:
        assert store.adapters_trained_on(plan.sources[0]) == ["tiny-sft-1"]
    policy: Any = policy_named("tiny-sft-1", load_settings())
    try:
        assert policy.adapter == "tiny-sft-1"
    finally:
        policy.close()


def weights_of(path: Path) -> dict[str, np.ndarray]:
    import gguf

    return {one.name: np.array(one.data) for one in gguf.GGUFReader(path).tensors}


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(home: Path, base: Path) -> None:
    whole, _, _ = sft.learn(wish_for(home, base, name="whole"), sft_plan.plan(wish_for(home, base)), print)
    short = wish_for(home, base, max_minutes=0.0, name="parts")
    with pytest.raises(sft_train.Stopped, match="after update 1 of 4"):
        sft.learn(short, sft_plan.plan(short), print)
    torn = sft_plan.plan(short).folder / "checkpoint-2"  # as a kill in the middle of writing leaves it
    torn.mkdir()
    (torn / "optimizer.pt").write_bytes(b"half")
    kit.run(kit.make_task(home / "later"), [BETTER, kit.SUBMIT])  # the run's data stay what they were
    again = sft_plan.plan(wish_for(home, base))
    assert again.going_on and len(again.sources) == 1
    said: list[str] = []
    parts, _, _ = sft.learn(wish_for(home, base, name="parts"), again, said.append)
    assert "going on at update 1 of 4" in said
    one, other = weights_of(Path(whole.files.path)), weights_of(Path(parts.files.path))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_run_that_goes_on_learns_nothing_that_was_forbidden_since(home: Path, base: Path) -> None:
    wish = wish_for(home, base, max_minutes=0.0)
    begun = sft_plan.plan(wish)
    with pytest.raises(sft_train.Stopped):
        sft.learn(wish, begun, print)
    assert len(begun.steps) > 1 and sft_plan.plan(wish).going_on
    with Store.open(home / STORE_NAME) as store:
        store.add_label(begun.steps[0], "-")
    with pytest.raises(InputError, match=rf"1 of the {len(begun.steps)} replies .* --fresh"):
        sft_plan.plan(wish)
    anew = sft_plan.plan(wish_for(home, base, fresh=True))
    assert not anew.going_on and begun.steps[0] not in anew.steps


def test_a_second_learner_waits_and_takes_nothing_from_the_first(home: Path, base: Path) -> None:
    wish = wish_for(home, base, max_minutes=0.0)
    with pytest.raises(sft_train.Stopped):
        sft.learn(wish, sft_plan.plan(wish), print)
    folder = sft_plan.plan(wish).folder
    kept = sorted(path.name for path in folder.iterdir())
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        anew = wish_for(home, base, fresh=True)
        with pytest.raises(InputError, match="another mleagent learn works"):
            sft.learn(anew, sft_plan.plan(anew), print)
    assert sorted(path.name for path in folder.iterdir()) == kept


def test_a_base_of_a_taken_name_gets_another(home: Path, base: Path, tmp_path: Path) -> None:
    other = make_gguf(tmp_path / "tiny.gguf", seed=5)
    add_base(Ledger(home), other)
    assert sft_plan.base_of(Ledger(home), str(base)).name == "tiny-2"


def test_cached_files_are_no_used_memory(tmp_path: Path) -> None:
    assert sft_fit.of_container(tmp_path, "memory.max", "memory.current") == math.inf
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900\n")
    assert sft_fit.of_container(tmp_path, "memory.max", "memory.current") == math.inf
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 500\nactive_file 300\nshmem 7\n")
    assert sft_fit.of_container(tmp_path, "memory.max", "memory.current") == 900


def test_an_adapter_that_does_something_else_never_counts(
    home: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft_export, "MOST", 1e-9)
    wish = wish_for(home, base)
    with pytest.raises(InputError, match="differs from torch's"):
        sft.learn(wish, sft_plan.plan(wish), print)
    assert not Ledger(home).adapters() and not list((home / "models").rglob("*.gguf"))
    monkeypatch.undo()
    monkeypatch.setenv("MLEAGENT_HOME", str(home))
    plan = sft_plan.plan(wish)  # what was trained is not lost
    assert plan.going_on and sft.learn(wish, plan, print)[0].name == "tiny-sft-1"


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_the_probe_tells_a_right_adapter_from_a_wrong_one(base: Path, tmp_path: Path, kind: str) -> None:
    if kind == "q8_0":  # a little noisier than what a short training changes
        import ctypes

        import llama_cpp

        wish = llama_cpp.llama_model_quantize_default_params()
        wish.ftype, wish.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, 1
        to = str(tmp_path / "q8.gguf").encode()
        assert llama_cpp.llama_model_quantize(str(base).encode(), to, ctypes.byref(wish)) == 0
        base = tmp_path / "q8.gguf"
    ids = [token % 250 for token in range(7, 1400, 29)]
    data = [Sequence("s", ids, [0] * 30 + [1] * (len(ids) - 30))]
    model = sft_trainer.lora_on(base, RECIPE, fit_of(base, Sequences(data)), sft_fit.LINEAR)
    halves = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    for weight in halves:
        torch.nn.init.normal_(weight, std=1e-3)
    model.save_pretrained(tmp_path / "adapter")
    path = export_adapter(tmp_path / "adapter", base, tmp_path / "a.gguf")
    right = sft_export.probe(model, base, path, data)
    assert right.apart < 0.1 and (right.strength > 1) == (kind == "q8_0")
    with torch.no_grad():
        for weight in halves:
            weight.copy_(weight.roll(1, 0))
    assert sft_export.probe(model, base, path, data).apart > sft_export.MOST


# --- conversations of a file ------------------------------------------------------


def test_conversations_are_learnt_by_their_marks_and_some_are_held_out(
    home: Path, base: Path, tmp_path: Path
) -> None:
    file = tmp_path / "c.jsonl"
    for number in range(12):
        turns = (
            Turn(role="user", content="task"), Turn(role="assistant", content="wrong"),
            Turn(role="user", content="failed"), Turn(role="assistant", content="right", train=True),
        )  # fmt: skip
        append(file, [Conversation(source=f"synth-{number}", turns=turns)])
    plan = sft_plan.plan(wish_for(home, base, file=file))
    assert plan.account == (
        "taken: 12 replies of 12 sources (12 marked to be learnt); "
        "left out: 12 replies (12 marked as context)"
    )
    learn, held = sft_train.part(plan.data)
    assert (len(learn), [one.source for one in held]) == (11, ["synth-9"])
    assert plan.data.learnt == 12 * (len("right") + 1) and plan.sources == ()
    adapter, trained, _ = sft.learn(wish_for(home, base, file=file), plan, print)
    assert trained.held_out and trained.after < trained.before
    assert adapter.provenance.sessions == () and adapter.provenance.config["file"] == str(file)


def test_a_name_is_checked_before_hours_of_training(home: Path, base: Path) -> None:
    for name, said in (("a/b", "can't be used"), ("nano", "means something else")):
        with pytest.raises(InputError, match=said):
            sft_plan.plan(wish_for(home, base, name=name))


def test_bases_that_cant_be_trained(home: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(home)
    monkeypatch.setenv("MLEAGENT_MODEL", str(base))
    assert sft_plan.base_of(ledger, "").name == "tiny"  # what solve would use
    for name, said in (("playbook", "has no weights"), ("nobody", "there is no model 'nobody'")):
        with pytest.raises(InputError, match=said):
            sft_plan.base_of(ledger, name)
    raw = base.read_bytes().replace(b"qwen2", b"gemma")  # of the same length
    (home / "gemma.gguf").write_bytes(raw)
    with pytest.raises(InputError, match="a model of architecture gemma can't be trained here"):
        sft_plan.plan(wish_for(home, home / "gemma.gguf"))  # before anything is trained, in a dry run too
