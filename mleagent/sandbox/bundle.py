"""A machine without internet gets what it needs in one file: wheels, the container image, models.

`save` writes a tar whose first member is a manifest with every file's size and sha256; `load` takes
nothing over before all of it has been read and verified. Only plain files with plain names in three
known folders are accepted, so a bundle can write nowhere else.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import ValidationError

from .. import __version__, clock
from ..errors import InputError, UnavailableError
from ..records import Record
from . import engine, image
from .environment import BUNDLED
from .wheels import Source, Target, download

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_MAX = 16 * 2**20
MODELS = "models"
IMAGE_FILE = "image/image.tar"
_MEMBER = re.compile(r"(wheels|models|image)/[A-Za-z0-9_][A-Za-z0-9._+!-]{0,200}")
_CHUNK = 1 << 20

Say = Callable[[str], None]


class Entry(Record):
    """One file of a bundle."""

    path: str
    """`wheels/NAME.whl`, `models/NAME.gguf` or `image/image.tar`."""
    size: int
    sha256: str


class Manifest(Record):
    """What a bundle holds and for whom."""

    format: Literal[1] = 1
    mleagent: str = __version__
    python: str = ""
    """The Python the wheels are for."""
    platform: str = ""
    image: str = ""
    """Name of the container image."""
    files: tuple[Entry, ...] = ()


def save(
    file: Path,
    requirements: Sequence[Path],
    models: Sequence[Path],
    image_name: str | None,
    target: Target,
    source: Source,
    say: Say,
) -> Manifest:
    """Write a bundle.

    Args:
        file: written whole or not at all.
        requirements: files of requirements whose wheels, with all they need, go in.
        models: model files.
        image_name: a container image, '' for the stock one; None for none.
        target: the Python the wheels are for.
        source: where the wheels come from.
        say: gets a line when something slow begins.

    Raises InputError, UnavailableError.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mleagent-bundle-", dir=file.parent) as place:
        stage = Path(place)
        parts = [(f"models/{path.name}", path) for path in models]
        if requirements:
            say(f"fetching wheels for Python {target.python}")
            wheels = stage / "wheels"
            wheels.mkdir()
            download([x for path in requirements for x in ("-r", str(path))], target, source, wheels)
            parts += [(f"wheels/{path.name}", path) for path in sorted(wheels.iterdir())]
        named = ""
        if image_name is not None:
            named = _save_image(image_name, stage / "image.tar", say)
            parts.append((IMAGE_FILE, stage / "image.tar"))
        say(f"hashing and writing {len(parts)} files")
        manifest = Manifest(
            python=target.python,
            platform=f"{target.machine} {target.libc}".strip(),
            image=named,
            files=tuple(_entry(name, path) for name, path in parts),
        )
        _write(stage / "bundle.tar", manifest, parts)
        os.replace(stage / "bundle.tar", file)
    return manifest


def load(file: Path, home: Path, say: Say) -> Manifest:
    """Verify a bundle and take it over: wheels and models into the data folder, the image to the engine.

    Raises InputError when it is no bundle or damaged (nothing is taken over then), UnavailableError when
    there is no engine for its image.
    """
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=home) as place:
        stage = Path(place)
        with _reading(file), tarfile.open(file, "r:") as archive:
            say(f"verifying {file}")
            manifest = _verified(archive, file, stage)
        if manifest.image:
            say(f"loading the image {manifest.image}")
            _load_image(stage / IMAGE_FILE, manifest.image)
        for folder, target in (("wheels", home / BUNDLED), ("models", home / MODELS)):
            for path in sorted((stage / folder).glob("*")):
                target.mkdir(parents=True, exist_ok=True)
                os.replace(path, target / path.name)
    return manifest


def _entry(name: str, path: Path) -> Entry:
    if not _MEMBER.fullmatch(name):
        raise InputError(
            f"{path}: its name can't go into a bundle; rename it to letters, digits, dots, dashes"
        )
    with _reading(path), path.open("rb") as data:
        return Entry(
            path=name, size=path.stat().st_size, sha256=hashlib.file_digest(data, "sha256").hexdigest()
        )


def _write(target: Path, manifest: Manifest, parts: Sequence[tuple[str, Path]]) -> None:
    names = [name for name, _ in parts]
    if len(set(names)) < len(names):
        raise InputError("two files of the bundle have one name; rename one")
    with tarfile.open(target, "w:", format=tarfile.PAX_FORMAT) as archive:
        text = manifest.model_dump_json(indent=1).encode()
        _add(archive, MANIFEST, len(text), io.BytesIO(text))
        for entry, (_, path) in zip(manifest.files, parts, strict=True):
            with path.open("rb") as data:
                _add(archive, entry.path, entry.size, data)


def _add(archive: tarfile.TarFile, name: str, size: int, data: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, int(clock.now())
    archive.addfile(member, data)


def _verified(archive: tarfile.TarFile, file: Path, stage: Path) -> Manifest:
    """Every member read into `stage` and checked against the manifest."""
    manifest = _manifest(archive, file)
    expected = {entry.path: entry for entry in manifest.files}
    for member in archive:
        if member.name == MANIFEST and member.isreg():
            continue
        entry = expected.pop(member.name, None)
        if entry is None or not member.isreg() or not _MEMBER.fullmatch(member.name):
            raise InputError(f"{file}: {member.name!r} does not belong in a bundle; get the file again")
        data = archive.extractfile(member)
        assert data is not None  # a regular file
        target = stage / entry.path
        target.parent.mkdir(exist_ok=True)
        if member.size != entry.size or _copied(data, target) != entry.sha256:
            raise InputError(f"{file}: {entry.path} is damaged (its hash differs); get the file again")
    if expected:
        raise InputError(f"{file}: {min(expected)} is missing, it was cut off; get the file again")
    return manifest


def _manifest(archive: tarfile.TarFile, file: Path) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MANIFEST_MAX:
        raise InputError(f"{file}: no bundle of mleagent; make one with mleagent bundle save FILE")
    data = archive.extractfile(first)
    assert data is not None  # a regular file
    raw = data.read()
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError:
        known = raw[:1] == b"{" and isinstance(said := _json(raw), dict) and said.get("format", 1) != FORMAT
        why = "made by another version of mleagent; upgrade this one" if known else "its manifest is damaged"
        raise InputError(f"{file}: {why}") from None


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _copied(data: IO[bytes], target: Path) -> str:
    """Copy to a fresh file; the sha256."""
    digest = hashlib.sha256()
    with target.open("xb") as out:
        while chunk := data.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """What can be wrong with a file, as one line."""
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{file}: can't be read as a bundle ({error}); get the file again") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None


# --- the image ------------------------------------------------------------------


def _save_image(name: str, target: Path, say: Say) -> str:
    client = engine.connect("docker")
    try:
        tag = image.ensure(client, name, say)
        say(f"saving the image {tag}")
        with target.open("wb") as out:
            for chunk in client.images.get(tag).save(named=True):
                out.write(chunk)
    finally:
        client.close()
    return tag


def _load_image(file: Path, name: str) -> None:
    import docker
    import requests

    client = engine.connect("docker")
    try:
        with file.open("rb") as data:
            client.images.load(data)
        if not image.present(client, name):
            raise InputError(f"the bundle's image is not {name}; make the bundle again")
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise UnavailableError(f"the image {name} can't be loaded: {error}") from None
    finally:
        client.close()
