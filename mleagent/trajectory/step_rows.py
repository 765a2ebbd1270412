"""Rows of the `steps` and `step_data` tables: written from and read as `Step` and `StepLine`.

Small things lists need are columns of `steps`; the texts and tokens lie in
`step_data`, so that scanning a session's steps touches none of them. A prompt's
token ids are stored as what they add to the parent's prompt and reply, which keeps
a step's size independent of how many steps came before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..records import Message, Reward, Step
from .codec import (
    from_json,
    pack_doubles,
    pack_halves,
    pack_ids,
    pack_text,
    shared_prefix,
    to_json,
    unpack_doubles,
    unpack_halves,
    unpack_ids,
    unpack_text,
)
from .lines import StepLine

Ids = tuple[int, ...]

_BULKY: Mapping[str, Any] = {
    "added": True,
    "observation": True,
    "diff": True,
    "facts": True,
    "rewards": True,
    "action": {"body"},
    "execution": {"output", "line_times"},
    "completion": {"text", "prompt_ids", "token_ids", "logprobs"},
}
"""What `steps.record` leaves out because a column of its own holds it."""

_STEP = """SELECT t.id, t.parent_id, t.facts, t.rewards, t.record, d.added, d.body, d.observation, d.output,
    d.line_times, d.diff, d.reply, d.prompt_shared, d.prompt_ids, d.token_ids, d.logprobs
    FROM steps t JOIN step_data d ON d.step = t.seq"""

_LINE = """SELECT id, session_id, parent_id, idx AS "index", created_at, kind, plan, status, submission,
    compaction, score, score_se, score_kind, direction, utility, reward, duration_s,
    (SELECT l.label FROM labels l WHERE l.step_id = t.id ORDER BY l.seq DESC LIMIT 1) AS label
    FROM steps t"""


def total(rewards: Sequence[Reward], scheme: str) -> float | None:
    """The total by the newest version of `scheme`; None when it has not judged the step."""
    by_version = {reward.version: reward.total for reward in rewards if reward.scheme == scheme}
    return by_version[max(by_version)] if by_version else None


def insert(db: sqlite3.Connection, step: Step, scheme: str, before: Ids) -> int:
    """Add a step; `before` are the ids of its parent's prompt and reply. Returns its row number."""
    score, facts = step.score, step.facts
    columns: dict[str, Any] = {
        "id": step.id,
        "session_id": step.session_id,
        "parent_id": step.parent_id,
        "idx": step.index,
        "created_at": step.created_at,
        "kind": step.action.kind,
        "plan": step.action.plan,
        "status": facts.status,
        "submission": facts.submission,
        "compaction": step.compaction,
        "score": score.value if score else None,
        "score_se": score.se if score else None,
        "score_kind": score.kind if score else None,
        "direction": score.direction if score else None,
        "utility": facts.utility,
        "reward": total(step.rewards, scheme),
        "duration_s": step.duration_s,
        "facts": to_json(facts.model_dump()),
        "rewards": _rewards_json(step.rewards),
        "record": to_json(step.model_dump(exclude=_BULKY)),
    }
    seq = _insert(db, "steps", columns)
    _insert(db, "step_data", {"step": seq, **_data(step, before)})
    return seq


def _insert(db: sqlite3.Connection, table: str, columns: Mapping[str, Any]) -> int:
    names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
    cursor = db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))
    return int(cursor.lastrowid or 0)


def _rewards_json(rewards: Sequence[Reward]) -> str:
    return to_json([reward.model_dump() for reward in rewards])


def _data(step: Step, before: Ids) -> dict[str, Any]:
    run, reply = step.execution, step.completion
    prompt = reply.prompt_ids if reply else ()
    shared = shared_prefix(prompt, before)
    return {
        "added": pack_text(to_json([[m.role, m.content] for m in step.added])) if step.added else None,
        "body": pack_text(step.action.body),
        "observation": pack_text(step.observation),
        "output": pack_text(run.output) if run else None,
        "line_times": pack_doubles(run.line_times) if run else None,
        "diff": pack_text(step.diff),
        # NULL stands for "the last added message", which is what a reply nearly always is.
        "reply": b"" if reply and not reply.text else None if _is_last(step) else pack_text(_text(step)),
        "prompt_shared": shared,
        "prompt_ids": pack_ids(prompt[shared:]),
        "token_ids": pack_ids(reply.token_ids) if reply else None,
        "logprobs": pack_halves(reply.logprobs) if reply else None,
    }


def _text(step: Step) -> str:
    return step.completion.text if step.completion else ""


def _is_last(step: Step) -> bool:
    return bool(step.added) and step.added[-1].content == _text(step)


def ids_after(step: Step) -> Ids:
    """Token ids of the step's prompt and reply: what the next prompt is compared with."""
    return step.completion.prompt_ids + step.completion.token_ids if step.completion else ()


def ids_at(db: sqlite3.Connection, step_id: str | None) -> Ids:
    """The same, read back from the store along the step's ancestors; () for None."""
    chain = []
    while step_id is not None:
        row = db.execute(
            """SELECT t.parent_id, d.prompt_shared, d.prompt_ids, d.token_ids
               FROM steps t JOIN step_data d ON d.step = t.seq WHERE t.id = ?""",
            (step_id,),
        ).fetchone()
        if row is None:
            break
        chain.append(row)
        step_id = row[0] if row[1] else None
    ids: Ids = ()
    for _, shared, prompt, reply in reversed(chain):
        ids = ids[:shared] + unpack_ids(prompt) + unpack_ids(reply)
    return ids


def one(db: sqlite3.Connection, step_id: str) -> Step:
    """The step of that id. Raises InputError when there is none."""
    row = db.execute(f"{_STEP} WHERE t.id = ?", (step_id,)).fetchone()
    if row is None:
        raise unknown(step_id)
    return _step(row, ids_at(db, row[1]) if row[12] else ())


def unknown(step_id: str) -> InputError:
    """The error for an id that no step has."""
    return InputError(f"no step {step_id!r}; `mleagent runs show ID` lists a session's steps")


def of_session(db: sqlite3.Connection, session_id: str, limit: int | None, offset: int) -> list[Step]:
    """A session's steps in the order they were committed."""
    query = f"{_STEP} WHERE t.session_id = ? ORDER BY t.seq LIMIT ? OFFSET ?"
    known: dict[str, Ids] = {}
    steps = []
    for row in db.execute(query, (session_id, -1 if limit is None else limit, offset)).fetchall():
        before: Ids = ()
        if row[12]:
            before = known[row[1]] if row[1] in known else ids_at(db, row[1])
        step = _step(row, before)
        known[step.id] = ids_after(step)
        steps.append(step)
    return steps


def branch(db: sqlite3.Connection, step_id: str) -> list[Step]:
    """Root … step along `parent_id`. Raises InputError when there is no such step."""
    rows = []
    at: str | None = step_id
    while at is not None:
        row = db.execute(f"{_STEP} WHERE t.id = ?", (at,)).fetchone()
        if row is None:
            raise unknown(at)
        rows.append(row)
        at = row[1]
    steps: list[Step] = []
    for row in reversed(rows):
        steps.append(_step(row, ids_after(steps[-1]) if steps else ()))
    return steps


def messages(db: sqlite3.Connection, step_id: str) -> list[Message]:
    """The whole prompt after a step: what each step added since the last prefix root."""
    parts: list[list[Message]] = []
    at: str | None = step_id
    while at is not None:
        row = db.execute(
            """SELECT t.parent_id, t.compaction, d.added
               FROM steps t JOIN step_data d ON d.step = t.seq WHERE t.id = ?""",
            (at,),
        ).fetchone()
        if row is None:
            raise unknown(at)
        parts.append([Message.model_validate(message) for message in _added(row[2])])
        at = None if row[1] else row[0]
    return [message for part in reversed(parts) for message in part]


def _added(data: bytes | None) -> list[dict[str, str]]:
    if data is None:
        return []
    return [{"role": role, "content": content} for role, content in from_json(unpack_text(data))]


def _step(row: Sequence[Any], before: Ids) -> Step:
    """A row of `_STEP` as a record."""
    (_, _, facts, rewards, record, added, body, observation, output, times, diff, reply) = row[:12]
    (shared, prompt_ids, token_ids, logprobs) = row[12:]
    fields = from_json(record)
    fields["facts"] = from_json(facts)
    fields["rewards"] = from_json(rewards)
    fields["added"] = _added(added)
    fields["action"]["body"] = unpack_text(body)
    fields["observation"] = unpack_text(observation)
    fields["diff"] = unpack_text(diff)
    if fields["execution"] is not None:
        fields["execution"] |= {"output": unpack_text(output), "line_times": unpack_doubles(times)}
    if fields["completion"] is not None:
        last = fields["added"][-1]["content"] if fields["added"] else ""
        fields["completion"] |= {
            "text": last if reply is None else unpack_text(reply) if reply else "",
            "prompt_ids": before[:shared] + unpack_ids(prompt_ids),
            "token_ids": unpack_ids(token_ids),
            "logprobs": unpack_halves(logprobs),
        }
    return Step.model_validate(fields)


def lines(db: sqlite3.Connection, session_id: str) -> list[StepLine]:
    """A session's steps as list lines, in the order they were committed."""
    cursor = db.execute(f"{_LINE} WHERE t.session_id = ? ORDER BY t.seq", (session_id,))
    names = [column[0] for column in cursor.description]
    return [StepLine.model_validate(dict(zip(names, row, strict=True))) for row in cursor]


def rewards(db: sqlite3.Connection, step_id: str) -> tuple[Reward, ...]:
    """All rewards of a step. Raises InputError when there is no such step."""
    row = db.execute("SELECT rewards FROM steps WHERE id = ?", (step_id,)).fetchone()
    if row is None:
        raise unknown(step_id)
    return tuple(Reward.model_validate(reward) for reward in from_json(row[0]))


def add_rewards(db: sqlite3.Connection, step_id: str, new: Sequence[Reward]) -> None:
    """Add rewards to a step; one of the same scheme and version is replaced."""
    keys = {(reward.scheme, reward.version) for reward in new}
    kept = [reward for reward in rewards(db, step_id) if (reward.scheme, reward.version) not in keys]
    scheme = db.execute(
        "SELECT s.reward_scheme FROM sessions s JOIN steps t ON t.session_id = s.id WHERE t.id = ?",
        (step_id,),
    ).fetchone()[0]
    merged = [*kept, *new]
    db.execute(
        "UPDATE steps SET rewards = ?, reward = ? WHERE id = ?",
        (_rewards_json(merged), total(merged, scheme), step_id),
    )
