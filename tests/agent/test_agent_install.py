"""A missing package: the verdict costs nothing, `/install` puts it in after a yes, `[env]` has it there."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_kit import SUBMIT, make_task, program, run, session, write
from wheel_maker import make_wheel

from mleagent import events
from mleagent.agent.control import Request
from mleagent.agent.finish import finish
from mleagent.agent.flow import Finished
from mleagent.errors import InputError, UnavailableError

NEEDS = "import tinypkg; print('have', tinypkg.VERSION)\n" + program(0.1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with a wheelhouse; nobody answers at the proxy, so no index can be asked."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    task = make_task(tmp_path / "toy")
    make_wheel(tmp_path / "wheels", "tinypkg", "1.2", needs=("numpy",))
    with (task / "mleagent.toml").open("a") as settings:
        settings.write('[env]\nwheelhouse = "../wheels"\n')
    return task


@pytest.mark.parametrize(
    "sandbox", ["namespaces", "bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
)
def test_missing_then_installed_then_it_runs(home, folder, sandbox, any_sandbox):
    any_sandbox(sandbox)
    asked: list[str] = []

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    replies = [write(NEEDS), "Plan: again\n<run>python solution.py</run>", SUBMIT]
    with session(folder, replies, sandbox=sandbox, steps=2, confirm_install=yes) as (solver, policy, seen):
        solver.step()
        first = solver.steps[-1]
        assert first.facts.status == "missing_package"
        assert first.execution and first.execution.missing_package == "tinypkg"
        assert solver.parts.budget.steps_left == 2, "a missing package costs no step"
        notices = [x.text for x in seen if isinstance(x, events.Notice)]
        assert any("/install tinypkg" in text for text in notices)

        solver.parts.control.ask_for(Request(name="install", argument="tinypkg"))
        solver.step()
        second = solver.steps[-1]
        assert len(asked) == 1 and "without network" in asked[0]
        assert second.facts.status == "ok" and "have 1.2" in second.observation
        assert second.facts.submission == "valid"
        prompt = policy.prompts[1].messages[-1].content
        assert "installed tinypkg==1.2" in prompt, "the very next prompt says so"
        net = solver.parts.sandbox.run(
            "python -c \"import socket; socket.create_connection(('1.1.1.1', 53), 3)\""
        )
        assert net.status == "error"


def test_without_a_yes_nothing_is_installed(home, folder):
    with session(folder, [write(NEEDS)] * 2, confirm_install=lambda _question: False) as (solver, _, seen):
        solver.step()
        solver.parts.control.ask_for(Request(name="install", argument="tinypkg"))
        solver.step()
        assert solver.steps[-1].facts.status == "missing_package"
        assert any(isinstance(x, events.Notice) and "was not installed" in x.text for x in seen)


def test_headless_names_the_setting_and_installs_nothing(home, folder):
    with session(folder, [write(NEEDS)] * 2) as (solver, _, seen):
        solver.step()
        solver.parts.control.ask_for(Request(name="install", argument="tinypkg"))
        solver.step()
        assert solver.steps[-1].facts.status == "missing_package"
        assert any(isinstance(x, events.Notice) and "[env] requirements" in x.text for x in seen)


def test_what_can_not_be_had_is_said_and_the_session_goes_on(home, folder):
    with session(folder, [write(program())] * 3, confirm_install=lambda _question: True) as (solver, _, seen):
        for wanted in ("nothere", "--index-url=http://x", "tinypkg"):
            solver.parts.control.ask_for(Request(name="install", argument=wanted))
        solver.step()
        said = [x.text for x in seen if isinstance(x, events.Notice)]
        assert any(x.startswith("/install nothere: ") for x in said)
        assert any("is no package name" in x for x in said)
        assert solver.steps[-1].facts.submission == "valid"


def test_missing_packages_end_a_session_that_never_learns(home, folder):
    replies = [write(f"# {i}\n{NEEDS}") for i in range(12)]
    _, end = run(folder, replies, steps=3)
    assert end.reason.startswith("stalled: 10 runs in a row")


def test_requirements_are_there_from_the_start_and_told(home, folder):
    (folder / "needs.txt").write_text("tinypkg\n")
    settings = (folder / "mleagent.toml").read_text()
    (folder / "mleagent.toml").write_text(settings + 'requirements = "needs.txt"\n')
    with session(folder, [write(NEEDS), SUBMIT]) as (solver, policy, _):
        end = solver.run(finish)
        assert end.status == "done" and end.refit == "refitted", "the refit has the packages too"
        assert "tinypkg 1.2" in policy.prompts[0].messages[0].content
        assert "tinypkg==1.2" in solver.parts.packages


def test_installed_packages_are_there_after_a_resume(home, folder):
    from mleagent.agent.start import resume_session
    from mleagent.agent.wish import Wish
    from mleagent.config import load_settings
    from mleagent.policy.scripted import ScriptedPolicy

    with session(folder, [write(NEEDS)], confirm_install=lambda _question: True) as (solver, _, _):
        solver.parts.control.ask_for(Request(name="install", argument="tinypkg"))
        solver.step()
        assert solver.steps[-1].facts.submission == "valid"
    again = resume_session(
        Wish(folder, load_settings(model="playbook", sandbox="namespaces")), solver.session
    )
    again.parts.policy = ScriptedPolicy([write(f"# again\n{NEEDS}")])
    try:
        again.step()
        assert again.steps[-1].facts.submission == "valid"
    except Finished as end:  # pragma: no cover - says why
        pytest.fail(end.reason)
    finally:
        again.parts.close()


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ('requirements = "no.txt"', InputError, r"\[env\] requirements 'no.txt'"),
        ('python = "no/python"', InputError, r"\[env\] python 'no/python'"),
        ('requirements = "bad.txt"', UnavailableError, "nothere"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(home, folder, line, error, words):
    (folder / "bad.txt").write_text("nothere\n")
    (folder / "mleagent.toml").write_text((folder / "mleagent.toml").read_text() + line + "\n")
    with pytest.raises(error, match=words) as caught, session(folder, []):
        pass
    assert "\n" not in str(caught.value)
    assert not list((home / "sessions").glob("*")) if (home / "sessions").is_dir() else True


def test_a_python_of_this_machine_and_a_container_do_not_go_together(home, folder):
    import sys

    text = (folder / "mleagent.toml").read_text() + f'python = "{sys.executable}"\n'
    (folder / "mleagent.toml").write_text(text)
    with pytest.raises(InputError, match="has its own"), session(folder, [], sandbox="docker"):
        pass
    with session(folder, [write(program()), SUBMIT], sandbox="auto") as (solver, _, _):
        assert solver.parts.sandbox.name in ("bubblewrap", "namespaces")
