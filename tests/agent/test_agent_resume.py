"""Going on with a session: from the same files, the same prompt, the same budget."""

from __future__ import annotations

import pytest
from agent_kit import SANDBOX, SUBMIT, make_task, program, session, write

from mleagent.agent.finish import finish
from mleagent.agent.folder import SessionFolder
from mleagent.agent.start import mark_dead, new_session, resume_session, session_to_continue
from mleagent.agent.wish import Wish
from mleagent.config import load_settings
from mleagent.errors import InputError
from mleagent.models import Ledger
from mleagent.models.add import add_adapter, add_base
from mleagent.policy.scripted import ScriptedPolicy
from mleagent.trajectory.store import Store


@pytest.fixture
def folder(home, tmp_path):
    return make_task(tmp_path / "toy")


def wish(folder, **more):
    return Wish(folder, load_settings(model="playbook", sandbox=SANDBOX, **more))


def begun(folder, replies):
    """A session whose script runs out: it fails, resumable."""
    with session(folder, replies) as (solver, policy, _):
        solver.run(finish)
    return solver, policy


def test_it_goes_on_where_it_stood(home, folder):
    solver, before = begun(folder, [write("x = 7\n", path="helper.py"), write(program(0.3))])
    again = resume_session(wish(folder), solver.session)
    policy = ScriptedPolicy([write(program(0.0, extra="import helper; print('helper', helper.x)")), SUBMIT])
    again.parts.policy = policy
    try:
        end = again.run(finish)
    finally:
        again.parts.close()
    assert end.status == "done" and end.steps == 4 and end.session == solver.session.id
    assert "helper 7" in again.steps[2].observation, "files of earlier steps are in the new sandbox"
    assert again.steps[2].parent_id == again.steps[1].id
    last = before.prompts[-1].messages
    assert policy.prompts[0].messages[: len(last)] == last
    assert again.steps[2].facts.delta_utility is not None, "it is compared with the best of before"


def test_the_next_sittings_prompt_begins_with_the_exact_tokens_of_the_last(home, folder, tmp_path):
    """A model that babbles: its tokens are not those that its text would be cut into."""
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    from gguf_maker import make_gguf

    path = make_gguf(tmp_path / "tiny.gguf", n_ctx=8192)
    asked = Wish(
        folder, load_settings(model=str(path), sandbox=SANDBOX, steps=2, temperature=2.0, max_tokens=40)
    )
    solver = new_session(asked)
    try:
        solver.run(finish)
    finally:
        solver.parts.close()
    last = solver.steps[-1].completion
    again = resume_session(Wish(folder, asked.settings.model_copy(update={"steps": 3})), solver.session)
    try:
        again.run(finish)
    finally:
        again.parts.close()
    sampled = last.prompt_ids + last.token_ids
    assert len(again.steps) == 3 and len(last.token_ids) == 40
    assert again.steps[2].completion.prompt_ids[: len(sampled)] == sampled


def test_a_done_session_is_not_resumed(home, folder):
    solver, _ = begun(folder, [write(program()), SUBMIT])
    with pytest.raises(InputError, match="is done; start a new one"):
        resume_session(wish(folder), solver.session)


def test_a_model_that_reads_other_prompts_only_is_refused(home, folder):
    pytest.importorskip("llama_cpp")
    solver, _ = begun(folder, [write(program(0.3))])
    with pytest.raises(InputError, match="can't read the prompts of session") as caught:
        resume_session(Wish(folder, load_settings(model="nano", sandbox=SANDBOX)), solver.session)
    assert "the model that took its last step (scripted)" in str(caught.value)
    resume_session(wish(folder), solver.session).parts.close()  # nothing was lost by asking


def test_who_only_looked_in_locks_nobody_out(home, folder):
    """Resumed by a model of other prompts and left before it took a step, a session is as it was."""
    pytest.importorskip("llama_cpp")
    asked = Wish(folder, load_settings(model="nano", sandbox=SANDBOX, steps=2))
    begun = new_session(asked)
    begun.step()
    begun.parts.close()
    assert begun.session.settings["prompt_style"] == "compact"
    for one in (wish(folder), asked, wish(folder)):
        again = resume_session(one, begun.session)
        again.parts.close()
        with Store.open(home / "store.db") as store:
            kept = store.session(begun.session.id)
        assert (kept.policy, kept.settings["prompt_style"]) == ("mleagent-nano", "compact")


def test_the_session_notes_who_goes_on_with_it(home, folder, tmp_path):
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    from gguf_maker import make_gguf, make_lora

    solver, _ = begun(folder, [write(program(0.3))])
    assert (solver.session.policy, solver.session.adapter) == ("scripted", "")
    base, lora = make_gguf(tmp_path / "tiny.gguf", n_ctx=8192), make_lora(tmp_path / "night.gguf")
    ledger = Ledger(home)
    add_base(ledger, base, "tiny")
    add_adapter(ledger, lora, "tiny", "night")
    again = resume_session(Wish(folder, load_settings(model="night", sandbox=SANDBOX)), solver.session)
    again.step()
    again.parts.close()
    with Store.open(home / "store.db") as store:
        kept = store.session(solver.session.id)
    assert (kept.policy, kept.adapter, kept.settings["prompt_style"]) == ("tiny", "night", "full")


def test_a_folder_that_changed_is_not_resumed(home, folder):
    solver, _ = begun(folder, [write(program())])
    (folder / "train.csv").write_text((folder / "train.csv").read_text() + "9999,0.5,1\n")
    with pytest.raises(InputError, match="has changed since session"):
        resume_session(wish(folder), solver.session)


def test_the_step_budget_counts_both_sittings(home, folder):
    solver, _ = begun(folder, [write(program(0.3)), write(program(0.2))])
    again = resume_session(wish(folder, steps=3), solver.session)
    again.parts.policy = ScriptedPolicy([write(program(t / 10)) for t in range(5)])
    try:
        end = again.run(finish)
    finally:
        again.parts.close()
    assert end.reason == "step budget spent (3 steps)" and end.steps == 3


def test_one_process_works_on_a_session_at_a_time(home, folder):
    with (
        session(folder, [SUBMIT]) as (solver, _, _),
        pytest.raises(InputError, match="open in another process"),
    ):
        SessionFolder(home, solver.session.id).lock()


def test_which_session_is_meant(home, folder, tmp_path):
    first, _ = begun(folder, [write(program())])
    second, _ = begun(folder, [write(program())])
    begun(make_task(tmp_path / "other"), [write(program())])
    with Store.open(home / "store.db") as store:
        assert session_to_continue(store, folder.resolve()).id == second.session.id
        assert session_to_continue(store, None, first.session.id).id == first.session.id
        with pytest.raises(InputError, match="no session to continue"):
            session_to_continue(store, tmp_path / "nowhere")
        store.update_session(first.session.model_copy(update={"status": "running"}))
        assert mark_dead(store, home) == [first.session.id]
        assert store.session(first.session.id).status == "interrupted"
