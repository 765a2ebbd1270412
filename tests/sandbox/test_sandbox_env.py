"""`[env]`: packages made outside, mounted read-only; wheels only; weights' caches pointed at.

Everything here comes from wheelhouses of tiny wheels; a proxy nobody answers at shows that no index
is asked.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boxes import made, python
from wheel_maker import make_wheel

from mleagent.errors import InputError, UnavailableError
from mleagent.protocols import Sandbox
from mleagent.sandbox import environment
from mleagent.sandbox.wheels import Source, Target, checked_requirement, fetch

HERE = Target(f"{sys.version_info[0]}.{sys.version_info[1]}")


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    folder = tmp_path / "wheels"
    make_wheel(folder, "tinydep", "0.3")
    make_wheel(folder, "tinypkg", "1.2", needs=("tinydep>=0.2", "numpy>=1.20"))
    return folder


@pytest.fixture(params=["namespaces", "bubblewrap", pytest.param("docker", marks=pytest.mark.docker), "none"])
def start(request: pytest.FixtureRequest, any_sandbox: Callable[[str], None], tmp_path: Path):
    if request.param != "none":
        any_sandbox(request.param)
    public = tmp_path / "public"
    public.mkdir()
    (public / "train.csv").write_text("id,y\n1,0\n")
    running: list[Sandbox] = []

    def begin(**spec: object) -> Sandbox:
        running.append(made(request.param, public, **spec))
        running[-1].start()
        return running[-1]

    yield begin
    for sandbox in running:
        sandbox.close()


def test_missing_package_then_installed_while_running(start, wheelhouse: Path, tmp_path: Path, home: Path):
    folder = tmp_path / "session-packages"
    folder.mkdir(mode=0o755)
    box = start(packages=(folder,))
    program = "import tinypkg, tinydep; print(tinypkg.VERSION, tinydep.VERSION)"
    before = python(box, program)
    assert (before.status, before.missing_package) == ("missing_package", "tinypkg")

    added = environment.install("tinypkg", box, folder, Source(wheelhouse), home)
    assert set(added) == {"tinypkg==1.2", "tinydep==0.3"}, "numpy is inside already and not asked for again"

    after = python(box, program)
    assert (after.status, after.output) == ("ok", "1.2 0.3\n")
    assert "tinypkg==1.2" in environment.merged(box.packages(), folder)
    if box.name != "none":
        assert python(box, "import tinypkg; open(tinypkg.__file__, 'a').write('x')").status == "error"


def test_requirements_are_built_once_and_mounted(start, wheelhouse: Path, tmp_path: Path, home: Path):
    (tmp_path / "reqs.txt").write_text("tinypkg==1.2\n")
    wanted = environment.recipe(tmp_path, "reqs.txt", "wheels", "")
    box = start()
    said: list[str] = []
    first = environment.build(wanted, box, home, said.append)
    assert environment.build(wanted, box, home, said.append) == first and len(said) == 1
    make_wheel(wheelhouse, "tinydep", "0.4")
    second = environment.build(wanted, box, home, said.append)
    assert second != first and "tinydep==0.4" in environment.listed(second)
    assert not [x for x in (home / "envs").iterdir() if x.name.startswith(".")], (
        "no half-built folder is left"
    )

    fresh = start(packages=(second,), env=(("MLEAGENT_SAMPLE", "1"),))
    run = python(fresh, "import os, tinydep; print(tinydep.VERSION, os.environ['MLEAGENT_SAMPLE'])")
    assert run.output == "0.4 1\n"


def test_errors_are_one_line_and_leave_nothing(wheelhouse: Path, tmp_path: Path):
    folder = tmp_path / "packages"
    with pytest.raises(UnavailableError, match=r"nothere.*") as caught:
        fetch(["nothere"], HERE, (), Source(wheelhouse), folder)
    assert "\n" not in str(caught.value) and str(wheelhouse) in str(caught.value)
    with pytest.raises(UnavailableError, match="numpy"):
        fetch(["tinypkg"], HERE, (), Source(wheelhouse), folder)
    assert not folder.exists() and not list(tmp_path.glob(".packages-*"))
    for key, value in (("requirements", "no.txt"), ("wheelhouse", "none"), ("python", "bin/nopython")):
        given = {"requirements": "", "wheelhouse": "", "python": "", key: value}
        with pytest.raises(InputError, match=rf"\[env\] {key} .*{value}"):
            environment.recipe(tmp_path, **given)


def test_what_lies_inside_is_never_replaced_by_another_version(wheelhouse: Path, tmp_path: Path):
    make_wheel(wheelhouse, "strict", needs=("tinydep==9",))
    with pytest.raises(UnavailableError):
        fetch(["strict"], HERE, ("tinydep==0.3",), Source(wheelhouse), tmp_path / "packages")
    added = fetch(
        ["tinypkg"], HERE, ("numpy==2.0", "tinydep==0.2"), Source(wheelhouse), tmp_path / "packages"
    )
    assert added == ("tinypkg==1.2",)


@pytest.mark.parametrize(
    "name",
    [
        "--index-url=http://x",
        "-r",
        "a b",
        "../x",
        "/etc/passwd",
        "git+https://x/y",
        "x @ file:///y",
        "x;y",
        "a\nb",
        "",
    ],
)
def test_only_plain_names_are_installed(name: str):
    with pytest.raises(InputError):
        checked_requirement(name)


@pytest.mark.parametrize("name", ["lightgbm", "scikit-learn==1.6.*", "pandas>=2,<3", "tabpfn[cpu]", "Jinja2"])
def test_plain_names_are_taken(name: str):
    assert checked_requirement(name) == name


def test_a_source_archive_is_never_built(tmp_path: Path, wheelhouse: Path):
    import tarfile

    tree = tmp_path / "evil-1.0"
    tree.mkdir()
    mark = tmp_path / "ran"
    (tree / "setup.py").write_text(
        f"open({str(mark)!r}, 'w'); from setuptools import setup; setup(name='evil')"
    )
    with tarfile.open(wheelhouse / "evil-1.0.tar.gz", "w:gz") as archive:
        archive.add(tree, arcname="evil-1.0")
    with pytest.raises(UnavailableError):
        fetch(["evil"], HERE, (), Source(wheelhouse), tmp_path / "packages")
    assert not mark.exists()


def test_packages_are_readable_inside_whatever_the_umask(wheelhouse: Path, tmp_path: Path):
    before = os.umask(0o077)
    try:
        fetch(["tinydep"], HERE, (), Source(wheelhouse), tmp_path / "packages")
    finally:
        os.umask(before)
    for path in [tmp_path / "packages", *(tmp_path / "packages").rglob("*")]:
        assert path.stat().st_mode & 0o055 == (0o055 if path.is_dir() else 0o044), path


def test_bundled_wheels_come_before_the_index(home: Path, wheelhouse: Path):
    assert environment.sources(Source(), home) == [Source()]
    (home / environment.BUNDLED).mkdir()
    assert environment.sources(Source(), home) == [Source(home / environment.BUNDLED), Source()]
    assert environment.sources(Source(wheelhouse), home) == [Source(wheelhouse)]


def test_wheels_fit_the_python_inside():
    assert "manylinux_2_36_x86_64" in Target("3.11", "amd64", "glibc 2.36").platforms
    assert "manylinux_2_28_aarch64" not in Target("3.11", "arm64", "glibc 2.17").platforms
    assert Target("3.12", "x86_64", "musl").platforms[0].startswith("musllinux")


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder outside /tmp, which programs have of their own."""
    place = Path("/srv") if os.geteuid() == 0 else Path.home()  # images close root's home to others
    with tempfile.TemporaryDirectory(prefix=".mleagent-test-", dir=place) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_weights_caches_are_pointed_at(start, elsewhere: Path, tmp_path: Path):
    cache = elsewhere / "cache"
    (cache / "huggingface" / "hub" / "models--a--b").mkdir(parents=True)
    (cache / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (cache / "huggingface" / "hub" / "models--a--b" / "weights").write_text("w")
    mounts = (cache,)
    box = start(mounts=mounts, env=environment.weights_env(mounts))
    run = python(
        box,
        """
        import os
        print(open(os.environ["HF_HUB_CACHE"] + "/models--a--b/weights").read())
        print(os.path.isdir(os.environ["TORCH_HOME"] + "/hub/checkpoints"))
        print(os.environ["HF_HUB_OFFLINE"], os.environ["TRANSFORMERS_OFFLINE"])
        """,
    )
    assert run.output == "w\nTrue\n1 1\n"
    assert environment.weights_env((tmp_path,)) == ()
    with pytest.raises(InputError, match="--mount"):
        environment.checked_mounts((tmp_path,))
    assert environment.checked_mounts(mounts) == mounts


def test_a_venv_is_named_by_its_link(tmp_path: Path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    wanted = environment.recipe(tmp_path, "", "", ".venv/bin/python")
    assert wanted.python == str(tmp_path / ".venv" / "bin" / "python")
