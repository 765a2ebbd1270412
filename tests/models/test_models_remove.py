"""What `remove` takes away: the entry, and of its files those that are ours and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_maker import make_gguf, make_lora
from hub_server import Hub
from pull_kit import REPO, pull

from mleagent.cli.app import main
from mleagent.errors import InputError
from mleagent.models.active import configured, resolve, use
from mleagent.models.add import add_adapter, add_base, remove


def test_a_file_that_another_entry_has_stays(hub: Hub, ledger, capsys):
    pull(ledger, REPO, "a")
    path = Path(pull(ledger, REPO, "b").files.path)
    use(ledger, "b")
    assert main(["models", "remove", "a"]) == 0, "nothing is deleted, so nothing is asked"
    assert "a removed; no file was deleted" in capsys.readouterr().out
    assert resolve(ledger, configured()).model == str(path) and path.is_file()
    use(ledger, "auto")
    assert remove(ledger, "b", configured()) == [path] and not path.parent.exists()


def test_a_file_that_the_user_added_too_stays(hub: Hub, ledger):
    path = Path(pull(ledger, REPO, "a").files.path)
    add_base(ledger, path, "mine")
    assert remove(ledger, "a", "auto") == [] and path.is_file()


def test_a_base_with_adapters_may_go_under_one_of_two_names(ledger, model, tmp_path):
    add_base(ledger, model("one.gguf"), "one")
    add_base(ledger, model("copy.gguf"), "copy")
    add_adapter(ledger, make_lora(tmp_path / "night.gguf"), "one")
    remove(ledger, "one", "auto")
    assert resolve(ledger, "night").model == str(tmp_path / "files" / "copy.gguf")
    with pytest.raises(InputError, match="copy is the base of night; remove those first"):
        remove(ledger, "copy", "auto")


@pytest.mark.parametrize("missing", [0, 1])
def test_a_split_model_that_misses_a_part_goes_with_all_that_is_left(hub: Hub, ledger, tmp_path, missing):
    make_gguf(tmp_path / "s.gguf", split=10)
    hub.repos["acme/split"] = {file.name: file.read_bytes() for file in tmp_path.glob("s-*.gguf")}
    folder = Path(pull(ledger, "acme/split", "split").files.path).parent
    sorted(folder.iterdir())[missing].unlink()
    left = sorted(folder.iterdir())
    assert len(left) > 1 and remove(ledger, "split", "auto") == left
    assert not folder.exists() and ledger.names() == []
