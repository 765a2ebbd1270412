"""Reading and changing single settings in config.toml: comments and order stay, the file is replaced whole.

Below the rooms, because `mleagent config`, `mleagent models use` and a learning job that promotes an
adapter all write here.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from .config import config_home
from .errors import InputError


def config_path() -> Path:
    """Where config.toml lies or would lie."""
    return config_home() / "config.toml"


def in_file() -> dict[str, Any]:
    """What the file sets; {} without one. Raises InputError when it can't be read."""
    path = config_path()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: {error}; mend or remove the file") from None


def write_setting(name: str, value: Any) -> None:
    """Put a checked value into config.toml, or take the setting out (None). Raises InputError."""
    import tomlkit

    path = config_path()
    temporary: Path | None = None
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else tomlkit.document()
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=".config-")
        temporary = Path(made)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(document))
        temporary.replace(path)
    except tomlkit.exceptions.TOMLKitError as error:
        raise InputError(f"{path}: {error}; mend or remove the file") from None
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise InputError(f"{path} can't be written: {error.strerror}") from None
