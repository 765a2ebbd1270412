"""Background runs: one goes on beside the steps, its end is told and scored, nothing of it is left behind."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from agent_kit import SANDBOX, SUBMIT, make_task, program, session, write

from mleagent import events
from mleagent.agent.finish import finish
from mleagent.agent.jobs import Jobs
from mleagent.agent.outcome import is_job
from mleagent.agent.start import resume_session
from mleagent.agent.wish import Wish
from mleagent.config import load_settings
from mleagent.policy.scripted import ScriptedPolicy
from mleagent.trajectory.store import Store

WAIT = "Plan: wait\n<run>wait</run>"
LOOK = "Plan: look\n<list path='.'/>"


def background(command: str) -> str:
    return f'Plan: long training\n<run background="yes">{command}</run>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_task(tmp_path / "toy")


def job_script(seconds: float, threshold: float = 0.0) -> str:
    """A script that takes its time, prints, and leaves a submission and a model."""
    head = f"import time; print('training', flush=True); time.sleep({seconds})\n"
    head += "open('model.txt', 'w').write('m')\n"
    return head + program(threshold)


def test_a_job_goes_on_beside_steps_and_its_end_is_told_and_scored(home, folder):
    replies = [
        write(job_script(2), "train.py"),
        background("python train.py"),
        write(program(0.6)),
        WAIT,
        LOOK,
        SUBMIT,
    ]
    with session(folder, replies, steps=6) as (solver, policy, _):
        end = solver.run(finish)
    kinds = [(s.action.kind, s.action.background, s.facts.executed) for s in solver.steps]
    assert kinds == [
        ("write", False, False),
        ("run", True, False),
        ("write", False, True),
        ("run", False, False),
        ("run", True, True),
        ("list", False, False),
        ("submit", False, False),
    ]
    job = solver.steps[4]
    assert is_job(job) and job.facts.submission == "valid" and job.completion is None and job.added == ()
    assert job.score.better_than(solver.steps[2].score), "the job's threshold is the better one"
    assert solver.session.best_step_id == job.id and end.status == "done" and end.refit == "refitted"
    told = policy.prompts[4].messages[-1].content
    assert "Job 1" in told and "has ended" in told and "training" in told and "accuracy" in told
    assert solver.parts.executor.workspace.read("model.txt") == b"m", "its files came back"
    assert solver.steps[3].duration_s >= 0.5, "waiting took time, not turns"
    with Store.open(home / "store.db") as store:
        assert [s.index for s in store.steps(solver.session.id)] == [1, 2, 3, 4, 5, 6, 7]


def test_the_prompt_stays_append_only_around_a_job(home, folder):
    replies = [write(job_script(0.3), "train.py"), background("python train.py"), WAIT, LOOK, SUBMIT]
    with session(folder, replies) as (solver, policy, _):
        solver.run(finish)
    for earlier, later in zip(policy.prompts, policy.prompts[1:], strict=False):
        assert later.messages[: len(earlier.messages)] == earlier.messages
    with Store.open(home / "store.db") as store:
        last = solver.steps[-1]
        assert [m.content for m in store.messages(last.id)][: len(policy.prompts[-1].messages)] == [
            m.content for m in policy.prompts[-1].messages
        ]


def test_one_job_at_a_time_and_it_costs_no_step(home, folder):
    replies = [background("sleep 30"), background("sleep 30"), LOOK]
    with session(folder, replies, steps=3) as (solver, _, _):
        solver.step()
        solver.step()
        assert solver.steps[-1].observation.startswith("Refused: job 1")
        assert solver.parts.jobs.kill()
        solver.parts.jobs.wait(threading.Event())
        solver.step()
        job = next(s for s in solver.steps if is_job(s))
        assert job.facts.status == "killed"
        assert solver.parts.budget.spent_steps == 3


def test_submitting_waits_for_the_job_and_takes_its_submission(home, folder):
    replies = [write(job_script(1), "train.py"), background("python train.py"), SUBMIT]
    with session(folder, replies) as (solver, _, _):
        end = solver.run(finish)
    assert end.status == "done" and end.submission
    assert is_job(solver.steps[-1]) and solver.session.best_step_id == solver.steps[-1].id


def test_files_changed_meanwhile_stay(home, folder):
    replies = [
        write("mine", "notes.txt"),
        background("sleep 1; echo theirs > notes.txt; echo new > other.txt"),
        write("newer", "notes.txt"),
        WAIT,
        LOOK,
    ]
    with session(folder, replies) as (solver, _, _):
        for _ in replies:
            solver.step()
        workspace = solver.parts.executor.workspace
        assert workspace.read("notes.txt") == b"newer\n" and workspace.read("other.txt") == b"new\n"
        job = next(s for s in solver.steps if is_job(s))
        assert "yours stay: notes.txt" in job.observation
        assert workspace.checkpoints.files(job.checkpoint)["notes.txt"] == b"theirs\n"
        run = solver.parts.executor.command("cat notes.txt other.txt", None, solver._hooks())
        assert run.execution.output.split() == ["newer", "new"], "the foreground has them too"


def test_undo_takes_back_the_foreground_only(home, folder):
    replies = [
        write(program(0.5)),
        background("echo out > out.txt"),
        WAIT,
        LOOK,
        write(program(0.1)),
        "Plan: back\n<undo/>",
    ]
    with session(folder, replies) as (solver, _, _):
        for _ in replies:
            solver.step()
        assert solver.parts.executor.workspace.read("solution.py") == program(0.5).encode()


def test_a_job_lost_to_a_kill_is_told_at_the_resume(home, folder):
    with session(folder, [write(program()), background("sleep 60")]) as (solver, _, _):
        solver.step()
        solver.step()
        began = time.monotonic()
    assert time.monotonic() - began < 20, "closing the session ended the job"
    note = home / "sessions" / solver.session.id / "job.json"
    assert json.loads(note.read_text())["command"] == "sleep 60"
    seen: list[events.Event] = []
    wish = Wish(folder, load_settings(model="playbook", sandbox=SANDBOX), emit=seen.append)
    again = resume_session(wish, solver.session)
    again.parts.policy = policy = ScriptedPolicy([LOOK])
    try:
        again.step()
    finally:
        again.parts.close()
    assert "`sleep 60` was lost" in policy.prompts[0].messages[-1].content
    assert any(isinstance(x, events.Notice) and "was lost" in x.text for x in seen)
    assert not note.exists()


def test_a_resume_right_after_a_job_has_its_words_and_files(home, folder):
    replies = [write(program(0.5)), background("echo out > out.txt"), LOOK, LOOK]
    with session(folder, replies) as (solver, _, _):
        for _ in range(3):
            solver.step()
        solver.parts.jobs.wait(threading.Event())
        from mleagent.agent.collect import collect

        collect(solver)
        assert is_job(solver.steps[-1])
    again = resume_session(Wish(folder, load_settings(model="playbook", sandbox=SANDBOX)), solver.session)
    again.parts.policy = policy = ScriptedPolicy([LOOK])
    try:
        again.step()
        assert again.parts.executor.workspace.read("out.txt") == b"out\n"
    finally:
        again.parts.close()
    told = policy.prompts[0].messages[-1].content
    assert "solution.py" in told and "Job 1" in told


def test_a_submission_left_at_a_timeout_is_scored(home, folder):
    slow = write(program(0.1, extra="import time; print('left', flush=True); time.sleep(60)"))
    with session(folder, [slow], exec_limit="4s") as (solver, _, _):
        solver.step()
    step = solver.steps[-1]
    assert step.facts.status == "timeout" and step.facts.submission == "valid"
    assert solver.session.best_step_id == step.id


def test_a_job_gets_most_of_the_time_left(home, folder):
    with session(folder, [background("true")], time="1000s") as (solver, _, _):
        assert 800 < solver.parts.budget.job_limit_s() <= 900
        solver.step()
        assert solver.parts.jobs.job.limits.wall_s <= 900


def test_a_job_whose_sandbox_fails_is_told(home, folder, tmp_path):
    from mleagent.errors import SandboxError

    class Failing:
        def start(self):
            raise SandboxError("docker: the engine stopped")

        def close(self):
            pass

    with session(folder, [background("true"), LOOK]) as (solver, _, _):
        solver.parts.jobs = Jobs(Failing, tmp_path / "job.json", 1 << 20)
        solver.step()
        assert "could not be started: docker: the engine stopped" in solver.steps[-1].observation
        solver.step()
