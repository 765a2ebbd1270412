"""metrics, config and doctor, as a user calls them."""

import json

import pytest

from mleagent.cli.app import main
from mleagent.cli.doctor_models import configured, servers
from mleagent.config import Settings, load_settings
from mleagent.errors import InputError, PolicyError


def out_of(capsys, *args, code=0):
    assert main(list(args)) == code
    return capsys.readouterr().out


def error_of(capsys, *args, code=2):
    assert main(list(args)) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


# --- metrics --------------------------------------------------------------------------


def test_metrics_lists_all_as_table_and_json(capsys):
    rows = json.loads(out_of(capsys, "metrics", "--json"))
    names = {row["name"] for row in rows}
    assert {"rmse", "roc_auc", "qwk", "logloss", "pinball"} <= names and len(names) >= 22
    assert {row["direction"] for row in rows} == {"maximize", "minimize"}
    table = out_of(capsys, "metrics")
    assert all(name in table for name in names)


def test_one_metric_and_an_unknown_one(capsys):
    assert "roc_auc" in out_of(capsys, "metrics", "auc")
    assert json.loads(out_of(capsys, "metrics", "map@7", "--json"))[0]["name"] == "map@7"
    assert "unknown metric 'rocauc!'" in error_of(capsys, "metrics", "rocauc!")


# --- config ---------------------------------------------------------------------------


def test_config_shows_values_with_their_source(home, capsys, monkeypatch):
    (home / "config.toml").write_text("steps = 7\nmodel = 'http://me:secret@host/v1'\n")
    monkeypatch.setenv("MLEAGENT_TIME", "2h")
    rows = {row["name"]: row for row in json.loads(out_of(capsys, "config", "--json"))}
    assert set(rows) == set(Settings.model_fields)
    assert (rows["steps"]["value"], rows["steps"]["source"]) == (7, str(home / "config.toml"))
    assert (rows["time"]["value"], rows["time"]["source"]) == ("2h", "MLEAGENT_TIME")
    assert rows["sandbox"]["source"] == "default"
    assert "secret" not in out_of(capsys, "config") and "secret" not in json.dumps(rows)
    assert out_of(capsys, "config", "steps") == "7\n"


def test_config_sets_a_value_and_keeps_the_rest_of_the_file(home, capsys):
    path = home / "config.toml"
    path.write_text("# mine\nsteps = 7  # few\n")
    assert "memory_mb = 2048" in out_of(capsys, "config", "memory_mb", "2048")
    assert path.read_text() == "# mine\nsteps = 7  # few\nmemory_mb = 2048\n"
    out_of(capsys, "config", "temperature", "0.2")
    out_of(capsys, "config", "steps", "9")
    settings = load_settings()
    assert (settings.steps, settings.memory_mb, settings.temperature) == (9, 2048, 0.2)
    out_of(capsys, "config", "memory_mb", "--unset")
    assert "# mine" in path.read_text() and "memory_mb" not in path.read_text()
    assert [entry.name for entry in home.iterdir()] == ["config.toml"]


def test_config_makes_the_folder_and_says_when_the_environment_wins(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLEAGENT_HOME", str(tmp_path / "new" / "home"))
    monkeypatch.setenv("MLEAGENT_STEPS", "3")
    assert "the environment wins" in out_of(capsys, "config", "steps", "5")
    assert (tmp_path / "new" / "home" / "config.toml").read_text() == "steps = 5\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", "0", "greater than or equal to 1"),
        ("steps", "many", "valid integer"),
        ("time", "soon", "is not a duration"),
        ("sandbox", "chroot", "one of auto, docker"),
        ("reward", "none", "one of unified"),
        ("model", "nowhere.gguf", "does not exist"),
        ("stepz", "3", "unknown setting 'stepz'; known:"),
    ],
)
def test_config_refuses_what_can_not_be_and_writes_nothing(home, capsys, name, value, words):
    assert words in error_of(capsys, "config", name, value)
    assert not list(home.iterdir())


def test_config_file_that_is_broken_is_named(home, capsys):
    (home / "config.toml").write_text("steps = = 3\n")
    assert str(home / "config.toml") in error_of(capsys, "config")
    assert str(home / "config.toml") in error_of(capsys, "config", "steps", "4")
    assert (home / "config.toml").read_text() == "steps = = 3\n"


# --- doctor ---------------------------------------------------------------------------


def test_doctor_reports_machine_sandboxes_and_models(home, capsys):
    code = main(["doctor", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert code == (0 if data["ok"] else 3)
    found = {(check["section"], check["name"]): check for check in data["checks"]}
    assert str(home) in found["machine", "mleagent"]["detail"]
    assert {"docker", "podman", "bubblewrap", "namespaces", "none"} <= {
        n for s, n in found if s == "sandboxes"
    }
    assert found["sandboxes", "choice"]["state"] == ("ok" if data["ok"] else "fail")
    assert "playbook" in found["models", "configured"]["detail"]


def test_doctor_fails_where_the_configured_model_can_not_be_had(home, capsys, monkeypatch):
    monkeypatch.setenv("MLEAGENT_MODEL", str(home / "gone.gguf"))
    assert main(["doctor"]) == 3
    assert "gone.gguf does not exist" in capsys.readouterr().out


def test_configured_model_lines(tmp_path):
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    from gguf_maker import make_gguf

    path = make_gguf(tmp_path / "own.gguf")
    line = configured(Settings(model=str(path)))
    assert "qwen2" in line and "512 tokens" in line
    assert configured(Settings(model="playbook")) == "playbook"
    with pytest.raises(InputError, match="unknown"):
        configured(Settings(model="gpt-17"))
    with pytest.raises(PolicyError, match="refuses the connection"):
        configured(Settings(model="http://127.0.0.1:9/v1"))
    assert all(address.startswith("http://localhost:") for address, _ in servers())
