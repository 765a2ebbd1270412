"""Gets the container image a sandbox runs on: one the user names, or a stock one, built here.

The stock image comes from `image/Dockerfile` and `image/requirements.txt` and is tagged by their
hash, so a new version of either builds a new image and an old one is never used by mistake. Its
base is python:3.11-slim where a registry can be reached, else the local image `mleagent-base`.
Wheels are fetched by pip on the host, with the user's own pip configuration, and installed in
the build without network; an engine behind a firewall therefore needs no settings of its own.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import UnavailableError

REPOSITORY = "mleagent-tabular"
RECIPES = ("tabular", "gpu")
"""Names that mean a stock image with more packages: boosting, tuning and polars, or torch and friends."""
PUBLIC_BASE = "python:3.11-slim"
LOCAL_BASE = "mleagent-base"
REGISTRY_PROBE_S = 6.0
"""A registry that has not answered by then counts as unreachable."""
DOWNLOAD_S = 1200.0

Progress = Callable[[str], None]

MENDS = (
    f"make the base `{LOCAL_BASE}` with scripts/base-image.sh, "
    "or name an image that is there (--image NAME, setting `image`)"
)
"""The two ways out where no registry can be reached."""
NAME_MEND = "check the name, or leave it out for the stock image"


def recipe(name: str) -> bytes:
    """Content of a file of the recipe: `Dockerfile` or `requirements.txt`."""
    return (resources.files("mleagent.sandbox") / "image" / name).read_bytes()


def recipe_files(kind: str = "") -> tuple[bytes, bytes]:
    """Dockerfile and requirements of the stock image, or of one of `RECIPES`, which adds to both."""
    plain = (recipe("Dockerfile"), recipe("requirements.txt"))
    if not kind:
        return plain
    return plain[0] + recipe("Dockerfile.extra"), plain[1] + recipe(f"requirements-{kind}.txt")


def stock_tag(kind: str = "") -> str:
    """Name of the stock image, or of one of `RECIPES`, for this version of its recipe."""
    digest = hashlib.sha256(b"\0".join(recipe_files(kind))).hexdigest()[:12]
    return f"mleagent-with-{kind}:{digest}" if kind else f"{REPOSITORY}:{digest}"


def wanted_tag(name: str) -> str:
    """The image that a setting means: a recipe's, the stock one, or the one it names."""
    return stock_tag(name) if not name or name in RECIPES else name


def present(client: Any, name: str) -> bool:
    """Whether the engine has this image already."""
    import docker

    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def obtainable(client: Any, name: str = "") -> bool:
    """Whether a missing image could be had now: a registry answers or, for the stock one, a base is here."""
    if name and name not in RECIPES:
        return _registry_answers(client, name)
    return any(present(client, base) for base in (PUBLIC_BASE, LOCAL_BASE)) or _registry_answers(client)


def ensure(client: Any, name: str = "", progress: Progress | None = None) -> str:
    """Name of an image that is on the engine: `name`, a recipe's, or the stock one; made if missing.

    `progress` gets a line whenever something slow begins. Raises UnavailableError
    with the mends when no image can be had.
    """
    say = progress or (lambda _line: None)
    if name and name not in RECIPES:
        if not present(client, name):
            say(f"pulling the image {name}")
            _pull(client, name, NAME_MEND)
        return name
    tag = stock_tag(name)
    if not present(client, tag):
        _build(client, _base(client, say), tag, name, say)
    return tag


def _base(client: Any, say: Progress) -> str:
    for base in (PUBLIC_BASE, LOCAL_BASE):
        if present(client, base):
            return base
    if not _registry_answers(client):
        raise UnavailableError(
            f"no image: {PUBLIC_BASE} is not here and its registry can't be reached; {MENDS}"
        )
    say(f"pulling {PUBLIC_BASE}, the base of the stock image")
    _pull(client, PUBLIC_BASE, MENDS)
    return PUBLIC_BASE


@contextmanager
def _patience(client: Any, seconds: float) -> Iterator[None]:
    """Let API calls inside wait no longer than `seconds` for the engine."""
    usual, client.api.timeout = client.api.timeout, seconds
    try:
        yield
    finally:
        client.api.timeout = usual


def _registry_answers(client: Any, name: str = PUBLIC_BASE) -> bool:
    """Whether the image's registry can be reached; a refusal (401, 403, 404) is an answer too."""
    import docker
    import requests

    try:
        with _patience(client, REGISTRY_PROBE_S):
            client.images.get_registry_data(name)
    except docker.errors.APIError as error:
        return bool(error.is_client_error())
    except (docker.errors.DockerException, requests.RequestException):
        return False
    return True


def _pull(client: Any, name: str, mend: str) -> None:
    import docker
    import requests

    try:
        client.images.pull(name)
    except (docker.errors.DockerException, requests.RequestException) as error:
        reason = str(getattr(error, "explanation", None) or error).splitlines()[0]
        raise UnavailableError(
            f"image {name}: not on this engine and can't be pulled ({reason}); {mend}"
        ) from None


def _build(client: Any, base: str, tag: str, kind: str, say: Progress) -> None:
    long = "tens of minutes and some 10 GB" if kind == "gpu" else "a few minutes"
    say(f"building the image {tag} from {base}; once, {long}")
    with tempfile.TemporaryDirectory(prefix="mleagent-image-") as folder:
        context = Path(folder)
        (context / "wheels").mkdir()
        for name, content in zip(("Dockerfile", "requirements.txt"), recipe_files(kind), strict=True):
            (context / name).write_bytes(content)
        offline = _download_wheels(client, base, context)
        if not offline:
            say("pip on this machine could not fetch the wheels; the build asks its own index")
        with tempfile.TemporaryFile() as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(context, arcname=".")
            archive.seek(0)
            _run_build(client, archive, base, tag, "none" if offline else None)
    # The first stage is of no further use, and larger than the image itself.
    client.images.prune(filters={"dangling": True, "label": "mleagent.stage=install"})
    say(f"built {tag}")


def _run_build(client: Any, archive: Any, base: str, tag: str, network: str | None) -> None:
    import docker
    import requests

    last = ""
    try:
        for chunk in client.api.build(
            fileobj=archive,
            custom_context=True,
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs={"BASE": base},
            labels={"mleagent.image": "stock"},
            network_mode=network,
        ):
            if "error" in chunk:
                detail = last or chunk["error"].strip()
                raise UnavailableError(f"the stock image can't be built from {base}: {detail}; {MENDS}")
            line = str(chunk.get("stream", "")).strip()
            if "ERROR" in line or not last.startswith("ERROR"):
                last = line.splitlines()[-1] if line else last
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise UnavailableError(f"the stock image can't be built: {error}; {MENDS}") from None


def _download_wheels(client: Any, base: str, context: Path) -> bool:
    """Fetch the wheels for the base's Python and processor into `context/wheels`; False if pip can't."""
    version = client.containers.run(
        base,
        ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        remove=True,
        network_mode="none",
    )
    processor = {"amd64": "x86_64", "arm64": "aarch64"}.get(client.images.get(base).attrs["Architecture"], "")
    wheels = context / "wheels"
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--only-binary", ":all:", "--implementation", "cp"),
        *("--python-version", version.decode().strip()),
        *("--requirement", str(context / "requirements.txt"), "--dest", str(wheels)),
    ]
    for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_27", "manylinux_2_28"):
        command += ["--platform", f"{tag}_{processor}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DOWNLOAD_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode != 0:
        shutil.rmtree(wheels)
        wheels.mkdir()
        return False
    return True
