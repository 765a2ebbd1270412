"""Whole sessions, real task, sandbox, grader and store; only the policy is a fixed list of replies."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import SUBMIT, digest, make_task, program, run, session, write

from mleagent import events
from mleagent.agent.control import Control, Request
from mleagent.agent.finish import finish
from mleagent.records import Action
from mleagent.trajectory.store import Store

END_FIELDS = ("session", "status", "metric", "direction", "best_feedback", "sealed", "utility", "steps",
              "wall_s", "submission")  # fmt: skip
MALFORMED = "I think we should look at the data first."


@pytest.fixture
def folder(home, tmp_path):
    return make_task(tmp_path / "toy")


def stored(home, solver):
    with Store.open(home / "store.db") as store:
        store.check()
        return (
            store.session(solver.session.id),
            store.steps(solver.session.id),
            store.labels(solver.session.id),
        )


def test_write_score_reward_submit(home, folder):
    before = digest(folder)
    solver, end = run(folder, [write(program(0.4)), write(program(0.0), plan="better"), SUBMIT])
    first, second, last = solver.steps
    assert [s.index for s in solver.steps] == [1, 2, 3]
    assert first.facts.submission == second.facts.submission == "valid"
    assert second.score.better_than(first.score) and second.facts.delta_utility > 0
    assert second.score.kind == "feedback" and second.score.n == solver.session.task.rows_feedback
    reward = {r.scheme: r for r in second.rewards}["unified"]
    assert reward.total > {r.scheme: r for r in first.rewards}["unified"].total - 0.15 > 0.3
    assert {r.scheme for r in last.rewards} == {"unified", "ml-agent", "ml-agent-linear", "partial-credit"}
    assert first.facts.self_reported == 0.5, "the program's own claim is logged, and is not the score"
    assert (end.status, end.reason, end.steps, end.refit) == ("done", "submitted", 3, "refitted")
    assert end.best_feedback == second.score.value and end.sealed is not None and end.sealed_looks == 1
    assert digest(folder) == before
    kept, steps, _ = stored(home, solver)
    assert steps == solver.steps and kept.status == "done" and kept.best_step_id == second.id


def test_the_file_to_upload_holds_the_users_own_rows(home, folder):
    _, end = run(folder, [write(program(0.0)), SUBMIT])
    lines = Path(end.submission).read_text().splitlines()
    assert lines[0] == "id,y" and [line.split(",")[0] for line in lines[1:]] == [
        str(1000 + i) for i in range(60)
    ]
    own = [float(line.split(",")[1]) for line in (folder / "test.csv").read_text().splitlines()[1:]]
    assert [int(line.split(",")[1]) for line in lines[1:]] == [int(x > 0) for x in own]


def test_a_malformed_reply_is_repaired_once(home, folder):
    with session(folder, [MALFORMED, write(program()), MALFORMED, MALFORMED, SUBMIT]) as (
        solver,
        policy,
        seen,
    ):
        solver.run(finish)
    assert [s.action.kind for s in solver.steps] == ["write", "invalid", "submit"]
    assert solver.steps[0].facts.repaired and solver.steps[0].facts.format_valid
    assert not solver.steps[1].facts.format_valid
    assert {r.scheme: r.total for r in solver.steps[1].rewards}["unified"] == 0.0
    repair = policy.prompts[1].messages
    assert repair[-2].content == MALFORMED and "no action found" in repair[-1].content
    assert "invalid" in [e.action.kind for e in seen if isinstance(e, events.ActionParsed)]


def test_undo_brings_the_earlier_files_back(home, folder):
    replies = [
        write(program(0.3)),
        write(program(0.0)),
        "Plan: back\n<undo/>",
        "<read path='solution.py'/>",
        SUBMIT,
    ]
    with session(folder, replies) as (solver, _, _):
        solver.run(finish)
        assert solver.parts.executor.workspace.read("solution.py") == program(0.3).encode()
    assert "> 0.3" in solver.steps[3].observation
    _, _, labels = stored(home, solver)
    assert [(x.step_id, x.label) for x in labels] == [(solver.steps[1].id, "undone")]
    assert solver.session.best_step_id == solver.steps[1].id, "an undone step keeps its score"


def test_undo_reaches_the_sandbox(home, folder):
    replies = [
        write("x = 1\n", path="helper.py"),
        write("x = 2\n", path="helper.py"),
        "<undo/>",
        write(program(extra="import helper; print('helper', helper.x)")),
        SUBMIT,
    ]
    solver, _ = run(folder, replies)
    assert "helper 1" in solver.steps[3].observation


def test_an_edit_runs_and_is_scored(home, folder):
    change = (
        "<<<<<<< SEARCH\n        out.write(f\"{row['id']},{int(float(row['x']) > 0.5)}\\n\")\n=======\n"
        + ("        out.write(f\"{row['id']},{int(float(row['x']) > 0)}\\n\")\n>>>>>>> REPLACE\n")
    )
    replies = [write(program(0.5)), f'Plan: fix\n<edit path="solution.py">\n{change}</edit>', SUBMIT]
    solver, _ = run(folder, replies)
    assert solver.steps[1].score.better_than(solver.steps[0].score)
    assert "+        out.write" in solver.steps[1].diff


def test_edit_only_does_not_run(home, folder):
    solver, end = run(
        folder, [write(program(), attributes=' run="no"'), "<run>python solution.py</run>", SUBMIT]
    )
    assert not solver.steps[0].facts.executed and solver.steps[1].facts.submission == "valid"
    assert solver.steps[0].rewards, "it is paid by the next execution"
    assert end.status == "done"


def test_looks_show_inputs_and_never_private_files(home, folder):
    replies = ['<list path="."/>', '<data path="train.csv"/>', '<read path="../private/answers.parquet"/>',
               '<read path="/etc/passwd"/>', '<read path="test.csv" to="2"/>', SUBMIT]  # fmt: skip
    solver, end = run(folder, replies)
    listed, profile, private, system, head, _ = [s.observation for s in solver.steps]
    assert "train.csv" in listed and "answers" not in listed
    assert "y" in profile and "Refused" in private and "Refused" in system and "1: id,x" in head
    assert end.status == "no_submission" and end.submission is None


def test_a_rejected_action_is_told_and_labelled(home, folder):
    asked: list[Action] = []

    def approve(action):
        asked.append(action)
        return "use no such threshold" if len(asked) == 1 else None

    replies = [write(program(0.4)), write(program(0.0)), SUBMIT]
    with session(folder, replies, control=Control(approve)) as (solver, policy, _):
        solver.run(finish)
    assert "use no such threshold" in policy.prompts[1].messages[-1].content
    assert not solver.steps[0].facts.executed and solver.steps[1].facts.submission == "valid"
    _, _, labels = stored(home, solver)
    assert (solver.steps[0].id, "rejected") in [(x.step_id, x.label) for x in labels]


def test_words_of_the_user_arrive_with_the_next_prompt(home, folder):
    with session(folder, [write(program()), write(program(0.1)), SUBMIT]) as (solver, policy, _):
        solver.step()
        solver.parts.control.steer("prefer small thresholds")
        solver.run(finish)
    assert "prefer small thresholds" not in policy.prompts[0].messages[-1].content
    assert "prefer small thresholds" in policy.prompts[1].messages[-1].content


def test_requests_at_the_border(home, folder):
    with session(folder, [write(program()), write(program(0.2))]) as (solver, _, seen):
        solver.step()
        solver.parts.control.ask_for(Request(name="label", argument="+ 1"))
        solver.parts.control.ask_for(Request(name="budget", argument="steps 1"))
        end = solver.run(finish)
    assert end.reason == "step budget spent (1 steps)" and end.status == "done"
    _, _, labels = stored(home, solver)
    assert (solver.steps[0].id, "+") in [(x.step_id, x.label) for x in labels]
    assert any("labelled +" in e.text for e in seen if isinstance(e, events.Notice))


def test_a_time_out_scores_what_was_left(home, folder):
    slow = program(0.0, extra="import time; print('waiting', flush=True); time.sleep(60)")
    with session(folder, [write(slow), SUBMIT]) as (solver, _, _):
        solver.parts.exec_limit_s = 3.0
        solver.step()
    facts = solver.steps[0].facts
    assert (facts.status, facts.submission) == ("timeout", "valid") and facts.score is not None
    assert "time limit" in solver.steps[0].observation


def test_a_missing_package_is_told_apart(home, folder):
    solver, _ = run(folder, [write("import no_such_package_here\n"), SUBMIT])
    run_ = solver.steps[0].execution
    assert (run_.status, run_.missing_package) == ("missing_package", "no_such_package_here")
    assert "not installed" in solver.steps[0].observation


def test_a_failing_program_shows_its_traceback_by_its_own_lines(home, folder):
    solver, end = run(folder, [write("import csv\n\nraise ValueError('on line three')\n"), SUBMIT])
    assert (
        'solution.py", line 3' in solver.steps[0].observation
        and "on line three" in solver.steps[0].observation
    )
    assert end.status == "no_submission"


def test_an_invalid_submission_is_refused_with_its_reason(home, folder):
    short = program(0.0, extra="open('submission.csv', 'w').write('id,y\\n1,1\\n')")
    solver, _ = run(folder, [write(short), SUBMIT])
    assert solver.steps[0].facts.submission == "invalid"
    assert "The submission is invalid: " in solver.steps[0].observation
    assert solver.steps[0].facts.submission_error in solver.steps[0].observation


def test_an_old_submission_is_no_new_one(home, folder):
    solver, _ = run(folder, [write(program(0.0)), write("print('nothing')\n"), SUBMIT])
    assert [s.facts.submission for s in solver.steps] == ["valid", "none", "none"]
    assert "No submission was left." in solver.steps[1].observation


def test_a_submission_over_the_cap_is_named_as_such(home, folder):
    big = write(program(0.0, extra="open('submission.csv', 'a').write('x' * (2 * 2**20))"))
    solver, _ = run(folder, [big, write("print('nothing')\n"), write(program(0.0)), SUBMIT], checkpoint_mb=1)
    assert solver.steps[0].facts.submission == "invalid"
    assert "submission.csv: 2" in solver.steps[0].facts.submission_error
    assert "No submission was left" not in solver.steps[0].observation
    assert [s.facts.submission for s in solver.steps[1:3]] == ["none", "valid"], "the big one is gone"


def test_a_submission_that_is_a_link_is_named_as_such(home, folder):
    link = "import os\nos.symlink('test.csv', 'submission.csv')\n"
    solver, _ = run(folder, [write(link), SUBMIT])
    assert "link, not a file" in solver.steps[0].facts.submission_error


def test_a_policy_that_fails_leaves_the_best_and_can_be_resumed(home, folder):
    _, end = run(folder, [write(program(0.2))])
    assert end.status == "failed" and "used up" in end.reason and end.sealed is None
    assert Path(end.submission).read_text().startswith("id,y\n1000,")


def test_leaving_is_resumable_and_writes_the_best(home, folder):
    control = Control()
    with session(folder, [write(program(0.2)), write(program(0.0))], control=control) as (solver, _, _):
        solver.step()
        control.leave()
        end = solver.run(finish)
    assert (end.status, end.steps) == ("interrupted", 1) and end.submission


def test_a_run_that_is_cancelled_is_killed_and_the_session_goes_on(home, folder):
    control = Control()
    slow = write("import time\nprint('go', flush=True)\ntime.sleep(60)\n")
    with session(folder, [slow, write(program(0.0)), SUBMIT], control=control) as (solver, _, _):
        emit = solver.parts.emit

        def cancel_once_it_prints(event):
            emit(event)
            if isinstance(event, events.Output) and "go" in event.text:
                control.cancel()

        solver.parts.emit = cancel_once_it_prints
        end = solver.run(finish)
    assert [s.facts.status for s in solver.steps[:2]] == ["killed", "ok"] and end.status == "done"


def test_no_secret_is_prompted_or_logged(home, folder):
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2
    body = program(0.0, extra=f"print('key', '{key[:12]}' + '{key[12:]}')")
    with session(folder, [write(body), SUBMIT]) as (solver, policy, _):
        solver.run(finish)
    assert key not in policy.prompts[1].messages[-1].content and "key" in solver.steps[0].observation
    assert key.encode() not in (home / "store.db").read_bytes()


def test_a_generated_secret_makes_its_step_untrainable(home, folder):
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2
    solver, _ = run(folder, [write(program(0.0, extra=f"token = '{key}'")), SUBMIT])
    assert [s.trainable for s in solver.steps] == [False, True]
    assert all(key not in m.content for m in solver.steps[0].added) and key not in solver.steps[0].action.body


def test_the_end_event_tells_everything(home, folder):
    _, end = run(folder, [write(program(0.0)), SUBMIT])
    missing = [name for name in END_FIELDS if getattr(end, name) is None]
    assert not missing and end.to_json().startswith('{"event": "session_end"')
