"""Prompt templates: Jinja files of the package, each replaceable by the user's own.

A file of the same name in `<config folder>/prompts/` wins. Undefined names are
errors. Text from data goes in as values, never as template source.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from ..config import config_home
from ..errors import InputError


def packaged_prompts() -> Path:
    """Where the shipped templates lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


class Templates:
    """Renders templates by name (`system`, `brief`, ...)."""

    def __init__(self, overrides: Path | None = None) -> None:
        """`overrides`: the user's own folder of templates; default: in the config folder."""
        self._folders = [overrides or config_home() / "prompts", packaged_prompts()]
        self._env = Environment(
            loader=FileSystemLoader([str(folder) for folder in self._folders]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
            autoescape=False,
        )

    def render(self, name: str, **values: Any) -> str:
        """A template's text. Raises InputError when the user's own template is broken."""
        try:
            return self._env.get_template(f"{name}.md.j2").render(**values).strip()
        except TemplateError as error:
            where = getattr(error, "filename", None) or f"{name}.md.j2"
            raise InputError(f"prompt template {where}: {error}; mend or remove the file") from None

    def digest(self) -> str:
        """Hash over all templates in effect; logged with every step."""
        return _digest(tuple(self._folders))


@lru_cache(maxsize=8)
def _digest(folders: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    names = sorted({path.name for folder in folders for path in folder.glob("*.md.j2")})
    for name in names:
        path = next(folder / name for folder in folders if (folder / name).is_file())
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
