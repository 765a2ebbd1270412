"""A small task, programs that solve it quickly, and sessions on it with a scripted policy.

The task: `y` is 1 where `x`, plus noise, is above zero. A program predicts by a threshold on
`x`, so the further the threshold from zero, the worse its score. (Without the noise `x` would
give the target away, and be withheld.)
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mleagent import events
from mleagent.agent.finish import finish
from mleagent.agent.session import Solver
from mleagent.agent.start import new_session
from mleagent.agent.wish import Wish
from mleagent.config import load_settings
from mleagent.policy.scripted import ScriptedPolicy

SANDBOX = "namespaces" if sys.platform.startswith("linux") else "none"
WISHES = ("start", "eval_command", "control", "confirm_install", "mounts")
SUBMIT = "Plan: hand in\n<submit/>"


def make_task(folder: Path, rows: int = 240) -> Path:
    """A folder with train, test and sample submission; accuracy on a balanced binary target."""
    chance = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    values = [round(chance.uniform(-1, 1), 4) for _ in range(rows + 60)]
    train = [f"{i},{x},{int(x + chance.gauss(0, 0.2) > 0)}" for i, x in enumerate(values[:rows])]
    own = [f"{1000 + i},{x}" for i, x in enumerate(values[rows:])]
    (folder / "train.csv").write_text("\n".join(["id,x,y", *train]) + "\n")
    (folder / "test.csv").write_text("\n".join(["id,x", *own]) + "\n")
    sample = [f"{line.partition(',')[0]},0" for line in own]
    (folder / "sample_submission.csv").write_text("\n".join(["id,y", *sample]) + "\n")
    (folder / "mleagent.toml").write_text('[task]\ntarget = ["y"]\nmetric = "accuracy"\n')
    (folder / "description.md").write_text("Say whether x is above zero.\n")
    return folder


def program(threshold: float = 0.0, extra: str = "", submission: str = "submission.csv") -> str:
    """A program that predicts `x > threshold`; `extra` runs at its end."""
    return f"""import csv
rows = list(csv.DictReader(open("test.csv")))
with open("{submission}", "w") as out:
    out.write("id,y\\n")
    for row in rows:
        out.write(f"{{row['id']}},{{int(float(row['x']) > {threshold})}}\\n")
print("validation accuracy: 0.5")
{extra}
"""


def write(body: str, path: str = "solution.py", plan: str = "threshold", attributes: str = "") -> str:
    """A reply that writes a file."""
    return f'Plan: {plan}\n<write path="{path}"{attributes}>\n{body}</write>'


@contextmanager
def session(folder: Path, replies: Iterable[str], *, policy: ScriptedPolicy | None = None, **more: Any):
    """A started session whose policy says `replies`; yields (solver, policy, events so far)."""
    seen: list[events.Event] = []
    wish_fields = {name: more.pop(name) for name in WISHES if name in more}
    settings = load_settings(**{"model": "playbook", "sandbox": SANDBOX, "exec_limit": "60s", **more})
    solver = new_session(Wish(folder, settings, emit=seen.append, **wish_fields))
    scripted = policy or ScriptedPolicy(list(replies))
    solver.parts.policy = scripted
    try:
        yield solver, scripted, seen
    finally:
        solver.parts.close()


def run(folder: Path, replies: Sequence[str], **more: Any) -> tuple[Solver, events.SessionEnd]:
    """A whole session; what is left of it."""
    with session(folder, replies, **more) as (solver, _, _):
        return solver, solver.run(finish)


def digest(folder: Path) -> dict[str, str]:
    """Every file with its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
