"""`mleagent diff` and `apply`: the best step's files and nothing else, nothing of the user's lost."""

from __future__ import annotations

import json
import os

import pytest
from agent_kit import SUBMIT, digest, make_task, program, run, write
from terminal_kit import Terminal

from mleagent.cli.app import main


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    made = make_task(tmp_path / "toy")
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def solved(folder):
    """The best step is the second; the third is worse and changes a helper."""
    replies = [
        write("x = 1\n", path="lib/helper.py"),
        write(program(0.0, extra="open('model.bin', 'wb').write(b'1'); open('made.py', 'w').write('y = 2')")),
        write("x = 999\n", path="lib/helper.py"),
        write(program(0.6)),
        write("[task]\nmetric = 'mae'\n", path="mleagent.toml"),
        write("id,x,y\n", path="train.csv"),
        SUBMIT,
    ]
    solver, end = run(folder, replies)
    return solver.session, end


def test_diff_shows_and_changes_nothing(folder, solved, capsys):
    before = digest(folder)
    assert main(["diff"]) == 0
    out = capsys.readouterr().out
    assert f"session {solved[0].id}, into {folder}" in out
    assert "new solution.py" in out and '+print("validation accuracy: 0.5")' in out
    assert "new lib/helper.py, 1 line\n" in out and "+x = 1" in out and "999" not in out
    assert "new submission.csv, 61 lines" in out and "new model.bin" not in out and "\x1b" not in out
    assert main(["diff", solved[0].id[:8], "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {row["path"] for row in data["changes"]} == {
        "solution.py",
        "lib/helper.py",
        "made.py",
        "submission.csv",
    }
    assert digest(folder) == before


def test_apply_writes_the_best_step_and_no_more(folder, solved, capsys):
    before = digest(folder)
    assert main(["apply", "--yes"]) == 0
    after = digest(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"solution.py", "lib/helper.py", "made.py", "submission.csv"}
    assert (folder / "solution.py").read_text().startswith(program(0.0)[:60])
    assert (folder / "submission.csv").read_bytes() == open(solved[1].submission, "rb").read()  # noqa: SIM115
    assert "wrote " in capsys.readouterr().out
    assert main(["apply", "--yes"]) == 0
    assert "already holds the result" in capsys.readouterr().out


def test_without_a_terminal_it_asks_for_yes(folder, solved, capsys):
    before = digest(folder)
    assert main(["apply"]) == 2
    assert "say --yes" in capsys.readouterr().err and digest(folder) == before


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_at_a_terminal_it_shows_in_colour_and_asks(folder, solved, answer, code):
    before = digest(folder)
    terminal = Terminal("apply", solved[0].id)
    terminal.until("\x1b[32m+x = 1")
    terminal.until(f"Write 4 files into {folder}?")
    terminal.say(answer)
    terminal.until("nothing was changed" if code else f"wrote {folder / 'submission.csv'}")
    assert terminal.code() == code and (digest(folder) == before) == bool(code)


def test_what_the_user_wrote_meanwhile_is_not_overwritten_unasked(home, folder, solved, capsys):
    (folder / "solution.py").write_text("# mine\n")
    (folder / "solution.py").chmod(0o750)
    before = digest(folder)
    assert main(["apply", "--yes"]) == 2
    assert "written since the session began; nothing was changed" in capsys.readouterr().err
    assert digest(folder) == before
    assert main(["apply", "--yes", "--force"]) == 0
    kept = home / "sessions" / solved[0].id / "before-apply"
    assert (kept / "solution.py").read_text() == "# mine\n" and str(kept) in capsys.readouterr().out
    assert (folder / "solution.py").stat().st_mode & 0o777 == 0o750
    (folder / "solution.py").write_text("# mine again\n")
    assert main(["apply", "--yes", "--force"]) == 0
    assert (kept / "solution.py").read_text() == "# mine\n"
    assert (kept / "solution.py.2").read_text() == "# mine again\n"


def test_an_older_file_is_replaced_and_kept(home, folder, capsys):
    (folder / "submission.csv").write_text("old\n")
    os.utime(folder / "submission.csv", (1e9, 1e9))
    solver, _ = run(folder, [write(program(0.0)), SUBMIT])
    assert main(["apply", "--yes"]) == 0
    kept = home / "sessions" / solver.session.id / "before-apply" / "submission.csv"
    assert kept.read_text() == "old\n" and "replaced" in capsys.readouterr().out


def test_links_are_not_followed(folder, solved, tmp_path, capsys):
    (tmp_path / "elsewhere.py").write_text("keep me\n")
    (folder / "solution.py").symlink_to(tmp_path / "elsewhere.py")
    assert main(["apply", "--yes", "--force"]) == 2
    assert "does not follow" in capsys.readouterr().err
    assert (tmp_path / "elsewhere.py").read_text() == "keep me\n"
    (folder / "solution.py").unlink()
    (tmp_path / "outside").mkdir()
    (folder / "lib").symlink_to(tmp_path / "outside")
    assert main(["apply", "--yes", "--force"]) == 2
    assert not list((tmp_path / "outside").iterdir())


def test_nothing_to_apply_and_no_session(folder, tmp_path, capsys, monkeypatch):
    assert main(["apply", "--yes"]) == 2
    assert "there is no session yet" in capsys.readouterr().err
    run(folder, [SUBMIT])
    assert main(["apply", "--yes"]) == 2
    assert "has no valid submission" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["apply", "--yes"]) == 2
    assert "no session on this folder" in capsys.readouterr().err


def test_a_project_gets_its_changed_script(home, tmp_path, monkeypatch, capsys):
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("open('out.txt', 'w').write('3')\n")
    (project / "eval.py").write_text("print('score:', float(open('out.txt').read()))\n")
    (project / "mleagent.toml").write_text('[task]\nstart = "train.py"\neval = "python eval.py"\n')
    run(project, [write("open('out.txt', 'w').write('4')\n", path="train.py"), SUBMIT])
    monkeypatch.chdir(project)
    assert main(["diff"]) == 0
    out = capsys.readouterr().out
    assert "-open('out.txt', 'w').write('3')" in out and "+open('out.txt', 'w').write('4')" in out
    before = digest(project)
    (project / "train.py").write_text("open('out.txt', 'w').write('3.5')\n")
    assert main(["apply", "--yes"]) == 2
    assert "changed since the session began" in capsys.readouterr().err
    (project / "train.py").write_text("open('out.txt', 'w').write('3')\n")
    assert main(["apply", "--yes"]) == 0
    after = digest(project)
    assert {name for name in after if after[name] != before.get(name)} == {"train.py"}
