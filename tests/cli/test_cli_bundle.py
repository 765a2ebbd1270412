"""`mleagent bundle`: what was saved arrives whole, and nothing else gets in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest
from wheel_maker import make_wheel

from mleagent.cli.app import main
from mleagent.sandbox import environment
from mleagent.sandbox.wheels import Source, Target, fetch


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def bundle(tmp_path: Path, home: Path, offline: None) -> Path:
    """A bundle of two wheels and a model."""
    make_wheel(tmp_path / "wheels", "tinydep", "0.3")
    make_wheel(tmp_path / "wheels", "tinypkg", "1.2", needs=("tinydep",))
    (tmp_path / "needs.txt").write_text("tinypkg\n")
    (tmp_path / "small.gguf").write_bytes(os.urandom(3_000_000))
    file = tmp_path / "my.bundle"
    args = ["--requirements", str(tmp_path / "needs.txt"), "--wheelhouse", str(tmp_path / "wheels")]
    assert main(["bundle", "save", str(file), *args, "--model", str(tmp_path / "small.gguf")]) == 0
    return file


def test_wheels_and_models_arrive_and_are_used_before_any_index(
    bundle: Path, home: Path, tmp_path: Path, capsys
):
    assert main(["bundle", "load", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert "2 wheels" in said and "small.gguf" in said
    assert (home / "models" / "small.gguf").read_bytes() == (tmp_path / "small.gguf").read_bytes()
    source = environment.sources(Source(), home)[0]
    here = Target(f"{sys.version_info[0]}.{sys.version_info[1]}")
    added = fetch(["tinypkg"], here, (), source, tmp_path / "packages")
    assert set(added) == {"tinypkg==1.2", "tinydep==0.3"}
    assert main(["bundle", "load", str(bundle)]) == 0, "again is harmless"
    assert not [x for x in home.iterdir() if x.name.startswith(".bundle")]
    assert not list(tmp_path.glob(".mleagent-bundle-*"))


def rewritten(bundle: Path, change) -> Path:
    """The bundle with its members passed through `change(name, data) -> (TarInfo, data) | None`."""
    out = bundle.with_name("changed.bundle")
    with tarfile.open(bundle) as source, tarfile.open(out, "w") as target:
        for member in source:
            data = source.extractfile(member).read()
            changed = change(member, data)
            if changed:
                info, body = changed
                info.size = len(body) if info.isreg() else 0
                target.addfile(info, io.BytesIO(body) if info.isreg() else None)
    return out


def refused(file: Path, home: Path, capsys) -> str:
    before = sorted(x for x in home.rglob("*"))
    assert main(["bundle", "load", str(file)]) == 2
    err = capsys.readouterr().err
    assert sorted(x for x in home.rglob("*")) == before, "nothing is taken over"
    return err.splitlines()[-1]


def test_a_flipped_byte_a_missing_and_a_foreign_file_are_refused(bundle: Path, home: Path, capsys):
    def flip(member, data):
        return member, (data[:-1] + bytes([data[-1] ^ 1]) if member.name.endswith(".gguf") else data)

    assert "models/small.gguf is damaged" in refused(rewritten(bundle, flip), home, capsys)

    def drop(member, data):
        return None if member.name.endswith(".gguf") else (member, data)

    assert "small.gguf is missing" in refused(rewritten(bundle, drop), home, capsys)
    with tarfile.open(bundle, "a") as archive:
        info = tarfile.TarInfo("wheels/more.whl")
        archive.addfile(info, io.BytesIO(b""))
    assert "'wheels/more.whl' does not belong" in refused(bundle, home, capsys)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "wheels/../../evil", "models/a/b", "models/.hidden", "store.db"]
)
def test_no_path_leads_out(name: str, bundle: Path, home: Path, capsys):
    """Even where the manifest itself names it, with the right hash."""

    def change(member, data):
        if member.name == "manifest.json":
            said = json.loads(data)
            said["files"] = [{"path": name, "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}]
            return member, json.dumps(said).encode()
        if member.name.endswith(".gguf"):
            return tarfile.TarInfo(name), b"x"
        return None

    assert "does not belong" in refused(rewritten(bundle, change), home, capsys)


def test_a_link_is_refused(bundle: Path, home: Path, capsys):
    def change(member, data):
        if member.name.endswith(".gguf"):
            link = tarfile.TarInfo(member.name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            return link, b""
        return member, data

    assert "does not belong" in refused(rewritten(bundle, change), home, capsys)


def test_what_is_no_bundle_says_so(tmp_path: Path, bundle: Path, home: Path, capsys):
    (tmp_path / "text").write_text("hello" * 1000)
    assert "can't be read as a bundle" in refused(tmp_path / "text", home, capsys)
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tmp_path / "text", "text")
    assert "no bundle of mleagent" in refused(tmp_path / "other.tar", home, capsys)
    cut = tmp_path / "cut.bundle"
    cut.write_bytes(bundle.read_bytes()[:1_000_000])
    refused(cut, home, capsys)

    def newer(member, data):
        if member.name == "manifest.json":
            return member, json.dumps({"format": 2, "what": "ever"}).encode()
        return member, data

    assert "another version" in refused(rewritten(bundle, newer), home, capsys)


def test_wrong_use_is_one_line(tmp_path: Path, home: Path, offline: None, capsys):
    (tmp_path / "needs.txt").write_text("nothere\n")
    (tmp_path / "empty").mkdir()
    out = str(tmp_path / "x.bundle")
    cases = [
        ([out], 2, "nothing to put in"),
        ([out, "--model", str(tmp_path / "no.gguf")], 2, "no such file"),
        (
            [out, "--requirements", str(tmp_path / "needs.txt"), "--wheelhouse", str(tmp_path / "empty")],
            3,
            "nothere",
        ),
    ]
    for args, code, words in cases:
        assert main(["bundle", "save", *args]) == code
        err = capsys.readouterr().err
        assert words in err.splitlines()[-1] and "Traceback" not in err
    assert not Path(out).exists() and not list(tmp_path.glob(".mleagent-bundle-*"))


@pytest.mark.docker
@pytest.mark.slow
def test_the_image_travels(docker_engine, tmp_path: Path, home: Path):
    """A tiny image: saved, removed from the engine, loaded again."""
    name = "mleagent-test-bundle:1"
    scratch = tmp_path / "fs.tar"
    with tarfile.open(scratch, "w") as archive:
        info = tarfile.TarInfo("hello")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"hi"))
    docker_engine.api.import_image_from_file(str(scratch), repository="mleagent-test-bundle", tag="1")
    try:
        file = tmp_path / "image.bundle"
        assert main(["bundle", "save", str(file), "--image-name", name]) == 0
        docker_engine.images.remove(name)
        assert main(["bundle", "load", str(file)]) == 0
        assert docker_engine.images.get(name)
    finally:
        docker_engine.images.remove(name, force=True)
