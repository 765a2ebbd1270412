"""Settings: defaults < config.toml < environment (`MLEAGENT_*`) < flags.

The data folder holds the store, prepared tasks and sessions; the config folder
holds `config.toml` and the user's own prompt templates. `MLEAGENT_HOME` puts
both under one folder.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import Field, ValidationError

from .errors import InputError
from .records import Record


class Settings(Record):
    """User settings. Each field may be set as `MLEAGENT_<FIELD>` or in config.toml."""

    model: str = "auto"
    """`auto`, `playbook`, a GGUF path, a name in the ledger, or an endpoint's URL."""
    endpoint_model: str = ""
    """Model name sent to an endpoint; empty: the first it lists."""
    sandbox: str = "auto"
    image: str = ""
    """Container image; empty: the stock one, built on first use."""
    reward: str = "unified"
    steps: int = Field(default=40, ge=1)
    time: str = "4h"
    exec_limit: str = "30m"
    memory_mb: int = Field(default=4096, ge=256)
    cpus: float = Field(default=0.0, ge=0)
    """CPUs of a run; 0: all but none reserved, as many as the machine has."""
    disk_mb: int = Field(default=2048, ge=16)
    temperature: float | None = Field(default=None, ge=0)
    """None: 0.7, and 1 for models with compact prompts."""
    max_tokens: int = Field(default=2048, ge=16)
    request_timeout_s: float = Field(default=600.0, gt=0)
    n_ctx: int = Field(default=0, ge=0)
    """Context of a GGUF model in tokens; 0: what it was trained for, at most 8192."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of a GGUF model; 0: by the machine."""
    gpu_layers: int = Field(default=-1, ge=-1)
    """Layers of a GGUF model on the GPU; -1: all of them, 0: none."""
    patience: int = Field(default=12, ge=1)
    """Valid submissions in a row without a gain after which a session ends."""
    sample_first_mb: int = Field(default=200, ge=0)
    """Train tables above this size (MiB) or a million rows: a new script first runs on a sample; 0: never."""
    checkpoint_mb: int = Field(default=200, ge=1)
    """Files of the work folder beyond this size in all are not checkpointed."""
    gpu_share: Literal["auto", "keep", "park"] = "auto"
    """Whether a model on the GPU makes room while a program uses it; auto: when less than half is free."""
    cache: bool = True
    """A program that ran before, on the same files and data, is not run again: its result is kept."""
    cache_mb: int = Field(default=1024, ge=1)
    """Size of the execution cache; what was used longest ago goes first."""


def user_path(text: str | Path) -> Path:
    """A path as the user wrote it, with `~` and `~NAME` resolved. Raises InputError (no such user)."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        whose = Path(text).parts[0]
        raise InputError(f"{text}: {whose} is nobody's home folder here; write the whole path") from None


def data_home() -> Path:
    """The data folder (not created): `MLEAGENT_HOME`, else the platform's own."""
    home = os.environ.get("MLEAGENT_HOME")
    if home:
        return user_path(home).absolute()
    from platformdirs import user_data_path

    return user_data_path("mleagent", appauthor=False)


def config_home() -> Path:
    """The folder of config.toml and prompt overrides (not created)."""
    home = os.environ.get("MLEAGENT_HOME")
    if home:
        return user_path(home).absolute()
    from platformdirs import user_config_path

    return user_config_path("mleagent", appauthor=False)


def load_settings(**flags: Any) -> Settings:
    """Merge all sources; flags that are None count as not given. Raises InputError."""
    path = config_home() / "config.toml"
    values: dict[str, Any] = {}
    if path.is_file():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise InputError(f"{path}: {error}; mend or remove the file") from None
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise InputError(
            f"{path}: unknown setting {unknown[0]!r}; known: {', '.join(sorted(Settings.model_fields))}"
        )
    for name, field in Settings.model_fields.items():
        text = os.environ.get(f"MLEAGENT_{name.upper()}")
        if text is not None:
            kind = field.annotation
            values[name] = (
                text if kind in (str, bool) or get_origin(kind) or get_args(kind) else _number(text, name)
            )
    values.update({name: value for name, value in flags.items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"setting {where}: {first['msg']} (got {first.get('input')!r})") from None


def _number(text: str, name: str) -> float | int:
    try:
        return int(text) if text.strip().lstrip("-").isdigit() else float(text)
    except ValueError:
        raise InputError(f"MLEAGENT_{name.upper()}={text!r} is not a number") from None


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str, what: str = "duration") -> float:
    """`90`, `45s`, `30m`, `4h`, `1h30m` as seconds. Raises InputError for anything else."""
    total, number = 0.0, ""
    for char in text.strip().lower():
        if char.isdigit() or char == ".":
            number += char
        elif char in _UNITS and number:
            total, number = total + float(number) * _UNITS[char], ""
        else:
            raise InputError(f"{what} {text!r} is not a duration; write e.g. 90s, 30m, 4h, 1h30m")
    total += float(number) if number else 0.0
    if total <= 0:
        raise InputError(f"{what} {text!r} must be longer than nothing; write e.g. 30m")
    return total
