"""`mleagent bundle`: carry wheels, the container image and models to a machine without internet."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..sandbox.wheels import Target

app = typer.Typer(
    help="Carry wheels, the container image and models to a machine without internet.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle, e.g. mleagent.bundle.")]


@app.command()
def save(
    file: File,
    requirements: Annotated[
        list[Path] | None, typer.Option(help="File of requirements whose wheels go in; may be repeated.")
    ] = None,
    image: Annotated[bool, typer.Option("--image", help="Put the stock container image in.")] = False,
    image_name: Annotated[str, typer.Option(help="Put this image in instead: a name or a recipe.")] = "",
    model: Annotated[list[Path] | None, typer.Option(help="Model file to put in; may be repeated.")] = None,
    python: Annotated[str, typer.Option(help="Python the wheels are for, e.g. 3.11.")] = "",
    wheelhouse: Annotated[
        Path | None, typer.Option(help="Take wheels from this folder, not an index.")
    ] = None,
) -> int:
    """Write a bundle on a machine with internet."""
    from ..sandbox.bundle import save as save_bundle
    from ..sandbox.wheels import Source

    lists, models = requirements or [], model or []
    wanted = image_name if image_name else ("" if image else None)
    if not lists and not models and wanted is None:
        raise InputError("nothing to put in; say --requirements FILE, --image or --model PATH")
    for path in (*lists, *models):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise InputError(f"--wheelhouse {wheelhouse}: there is no such folder")
    found = save_bundle(file.absolute(), lists, models, wanted, _target(python), Source(wheelhouse), _say)
    typer.echo(f"{file}: {len(found.files)} files, {_megabytes(sum(x.size for x in found.files))}")
    return 0


@app.command()
def load(file: File) -> int:
    """Verify a bundle and take it over, without any network."""
    from ..config import data_home
    from ..sandbox.bundle import MODELS
    from ..sandbox.bundle import load as load_bundle
    from ..sandbox.environment import BUNDLED

    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    home = data_home()
    found = load_bundle(file, home, _say)
    wheels = sum(x.path.startswith("wheels/") for x in found.files)
    if wheels:
        typer.echo(f"{wheels} wheels for Python {found.python} in {home / BUNDLED}; used before any index")
    for entry in found.files:
        if entry.path.startswith("models/"):
            typer.echo(f"model: mleagent solve --model {home / MODELS / Path(entry.path).name}")
    if found.image:
        typer.echo(f"image {found.image} is on the engine")
    return 0


def _target(python: str) -> Target:
    """This machine's kind of Python, but for the version where one is named; for macOS the containers'."""
    from ..sandbox.wheels import Target

    ours = ".".join(map(str, sys.version_info[:2]))
    libc = " ".join(platform.libc_ver()) if sys.platform == "linux" else "glibc 2.28"
    return Target(python or ours, platform.machine(), libc)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MB"
