"""What a task folder can't say by itself: `mleagent.toml` and the flags that override it.

`load` reads the file beside the data, `dump` writes a commented one for
`mleagent init`. Every mistake is one InputError line that names file and key,
because a silently ignored setting would cost the user a whole run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import tomlkit
from pydantic import Field, ValidationError, field_validator, model_validator
from tomlkit.exceptions import TOMLKitError

from ..errors import InputError
from ..records import Record

OPTIONS_FILE = "mleagent.toml"


class EnvOptions(Record):
    """`[env]`: what the sandbox needs beyond the stock image."""

    image: str = ""
    requirements: str = ""
    wheelhouse: str = ""
    python: str = ""


class TaskOptions(Record):
    """Settings of one task; the fields of `mleagent.toml` flattened, and the flags."""

    name: str = ""
    """Empty: the folder's name."""
    target: tuple[str, ...] = ()
    id: str = ""
    metric: str = ""
    """A registry name, or `my_metric.py:function`; empty: inferred."""
    maximize: bool | None = None
    """Direction of a metric of the user's own."""
    optimum: float | None = None
    include: tuple[str, ...] = ()
    """Withheld paths (or `column:NAME`) to mount all the same; scores become unverified."""
    feedback: float | None = Field(default=None, gt=0, lt=0.9)
    """Share of labelled rows; None: 0.2, or 0.3 under 1,000 rows."""
    sealed: float | None = Field(default=None, gt=0, lt=0.9)
    """Share of labelled rows; None: 0.1."""
    group: str = ""
    """Column whose values never straddle the split; `none` turns the inference off."""
    time: str = ""
    """Column to split by time; `none` turns the inference off."""
    fold_column: str = ""
    seed: int = 0
    start: str = ""
    """The user's baseline script, relative to the folder."""
    eval_command: str = ""
    """Command that prints the metric, for projects without labels to hold out."""
    instruction: str = ""
    """The words on the command line; they change the description, not the preparation."""
    env: EnvOptions = EnvOptions()
    learn: bool = True
    """`[learn] use`: whether sessions on this task may be trained on."""

    @field_validator("target", "include", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _room_for_train(self) -> TaskOptions:
        if (self.feedback or 0.3) + (self.sealed or 0.1) >= 0.9:
            raise ValueError("feedback + sealed must stay under 0.9, so that there is something to train on")
        return self


_KEYS: Mapping[str, Mapping[str, str]] = {
    "task": {
        **{key: key for key in ("name", "target", "id", "metric", "maximize", "optimum", "include", "start")},
        "eval": "eval_command",
    },
    "holdout": {key: key for key in ("feedback", "sealed", "group", "time", "fold_column", "seed")},
    "env": {key: key for key in EnvOptions.model_fields},
    "learn": {"use": "learn"},
}


def load(folder: Path) -> TaskOptions:
    """Options of `folder/mleagent.toml`, or the defaults. Raises InputError naming file and key."""
    path = folder / OPTIONS_FILE
    if not os.path.isfile(path):  # which, unlike Path.is_file, says no where permission lacks: discover tells
        return TaskOptions()
    try:
        data = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except (TOMLKitError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as TOML ({error}); mend or remove it") from None
    values: dict[str, Any] = {}
    for section, keys in data.items():
        known = _KEYS.get(section)
        if known is None or not isinstance(keys, dict):
            sections = ", ".join(f"[{name}]" for name in _KEYS)
            raise InputError(f"{path}: unknown section or key {section!r}; known sections: {sections}")
        for key, value in keys.items():
            if key not in known:
                raise InputError(f"{path}: unknown key [{section}] {key}; known: {', '.join(known)}")
            if section == "env":
                values.setdefault("env", {})[key] = value
            else:
                values[known[key]] = value
    return _checked(values, str(path))


def merged(options: TaskOptions, **flags: Any) -> TaskOptions:
    """`options` with the flags that are not None on top. Raises InputError naming the flag."""
    values = options.model_dump()
    values.update({name: value for name, value in flags.items() if value is not None})
    return _checked(values, "option")


def _checked(values: dict[str, Any], where: str) -> TaskOptions:
    try:
        return TaskOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = _toml_key(tuple(str(part) for part in first["loc"]))
        got = "" if first["type"] == "value_error" else f" (got {first.get('input')!r})"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {key}{message}{got}") from None


def _toml_key(loc: tuple[str, ...]) -> str:
    """How the user wrote the field pydantic complains about."""
    if not loc:
        return "[holdout] "
    for section, keys in _KEYS.items():
        for key, field in keys.items():
            if field == loc[-1] or field == loc[0]:
                return f"[{section}] {key}: "
    return f"{loc[0]}: "


def dump(options: TaskOptions) -> str:
    """Commented TOML for `mleagent init`; `load` gives the same options back."""
    document = tomlkit.document()
    document.add(
        tomlkit.comment("What this folder can't say by itself, or what was inferred: check and change.")
    )
    notes = {
        "metric": 'a name in `mleagent metrics`, or "my_metric.py:score" with maximize and optimum',
        "include": "withheld inputs to mount all the same; scores become unverified",
        "feedback": "scored after each submission; the agent sees the score",
        "sealed": "never shown, never a reward",
        "group": "column whose values must not straddle the split",
        "time": "split by time: the latest rows are held out",
        "fold_column": "your own folds",
        "eval": "a command that prints the metric, for projects without labels to hold out",
        "use": "may sessions on this task be learned from?",
    }
    for section, keys in _KEYS.items():
        table = tomlkit.table()
        for key, field in keys.items():
            value = getattr(options.env if section == "env" else options, field)
            default = getattr(EnvOptions() if section == "env" else TaskOptions(), field)
            if value is None or (section == "env" and value == default):
                continue
            if value == default and key in ("start", "eval"):
                continue
            item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
            if key in notes:
                cast(Any, item).comment(notes[key])
            table.add(key, item)
        if len(table):
            document.add(section, table)
    return tomlkit.dumps(document)
