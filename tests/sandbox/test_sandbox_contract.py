"""The contract of every sandbox: files in and out, data, verdicts, output, what is inside."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from boxes import LIMITS, made, python

from mleagent.errors import SandboxError
from mleagent.protocols import Sandbox

# --- files --------------------------------------------------------------------


def test_it_is_a_sandbox_and_says_what_it_lacks(box: Sandbox, kind: str) -> None:
    assert isinstance(box, Sandbox)
    assert box.name == kind.split("-")[0]
    assert all(gap and "\n" not in gap for gap in box.gaps)
    assert ("no memory cgroup" in " ".join(box.gaps)) == (kind == "namespaces-watched")


def test_files_go_in_and_changed_files_come_out(box: Sandbox) -> None:
    box.put({"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 5000, "gone.txt": b"x"})
    assert box.pull(10**9) == {}
    result = box.run("cat a.txt deep/er/b.bin > both; printf two > a.txt; rm gone.txt; touch empty")
    assert result.status == "ok"
    assert box.pull(10**9) == {"both": b"one" + bytes(range(256)) * 5000, "a.txt": b"two", "empty": b""}
    assert box.removed == ("gone.txt",)
    assert box.skipped == ()
    assert box.pull(10**9) == {} and box.removed == ()


def test_none_removes_and_files_and_folders_take_each_others_place(box: Sandbox) -> None:
    box.put({"x/y/z": b"1", "w": b"2"})
    box.put({"x/y/z": None, "w": None, "never": None})
    assert box.run("ls -A | grep -v -e train -e input -e images; true").output == ""
    box.put({"x": b"file"})
    box.put({"x": None, "x/inside": b"folder"})
    assert box.run("cat x/inside").output == "folder"
    box.put({"x": b"file again"})
    assert box.run("cat x").output == "file again"


def test_same_size_same_mtime_is_still_seen_as_changed(box: Sandbox) -> None:
    box.put({"f": b"aaaa"})
    assert box.run("touch -r f ref && printf bbbb > f && touch -r ref f && rm ref").status == "ok"
    assert box.pull(10**9) == {"f": b"bbbb"}


@pytest.mark.parametrize(
    "path", ["/etc/x", "../x", "a/../../x", "", ".", "a//b", "a/", "a\\b", "x\0y", "a/./b"]
)
def test_paths_outside_the_work_folder_are_refused(box: Sandbox, path: str) -> None:
    with pytest.raises(ValueError, match="work folder"):
        box.put({path: b""})


def test_links_pipes_and_sockets_stay_and_are_never_followed(box: Sandbox) -> None:
    program = """
        import os, socket
        os.symlink("/etc/passwd", "link"); os.symlink("/", "root"); os.mkfifo("fifo")
        socket.socket(socket.AF_UNIX).bind("sock"); open("real", "w").write("r"); os.link("real", "hard")
        os.mkdir("folder"); os.symlink("../real", "folder/inner")
    """
    assert python(box, program).status == "ok"
    pulled = box.pull(10**9)
    assert pulled == {"real": b"r", "hard": b"r"}
    left = {line.split(":")[0] for line in box.skipped}
    assert left == {"link", "root", "fifo", "sock", "folder/inner"}


def test_a_link_planted_in_the_way_of_a_write_leads_nowhere(box: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_text("kept")
    assert box.run(f"ln -s {target} folder; ln -s {target}/kept file; ln -s /tmp tmp").status == "ok"
    box.put({"folder/kept": b"new", "file": b"new", "tmp/x": b"new"})
    assert box.run("cat folder/kept file tmp/x").output == "newnewnew"
    assert (target / "kept").read_text() == "kept"


def test_files_their_owner_made_unreadable_come_out(box: Sandbox) -> None:
    assert box.run("mkdir d && echo 1 > d/f && echo 2 > g && chmod 000 d/f g d").status == "ok"
    assert box.pull(10**9) == {"d/f": b"1\n", "g": b"2\n"}
    assert box.run("mkdir e && echo 1 > e/f && chmod 500 e").status == "ok"
    box.put({"e/f": b"over"})
    assert box.run("cat e/f").output == "over"


def test_pull_takes_the_smallest_first_and_names_the_rest(box: Sandbox) -> None:
    assert (
        box.run(
            "head -c 1000 /dev/zero > small; head -c 3000 /dev/zero > middle; head -c 9000 /dev/zero > big"
        ).status
        == "ok"
    )
    assert set(box.pull(5000)) == {"small", "middle"}
    assert [line.split(":")[0] for line in box.skipped] == ["big"]
    assert set(box.pull(9000)) == {"big"}


def test_a_2_gb_file_is_skipped_not_loaded(box: Sandbox) -> None:
    assert box.run("truncate -s 2G submission.csv && echo 1 > ok").status == "ok"
    began = time.monotonic()
    assert box.pull(50 * 2**20) == {"ok": b"1\n"}
    assert time.monotonic() - began < 2
    assert "submission.csv: 2048.0 MiB" in box.skipped[0]


def test_names_that_are_no_text_are_left(box: Sandbox) -> None:
    assert (
        python(
            box, "open(b'bad\\xff', 'w'); open('new\\nline', 'w'); open('good é', 'w'); open('a\\\\b', 'w')"
        ).status
        == "ok"
    )
    assert set(box.pull(10**9)) == {"good é", "new\nline"}
    assert len(box.skipped) == 2


def test_a_full_work_folder_is_an_error_of_put_and_no_loss(isolated: Sandbox) -> None:
    with pytest.raises(SandboxError, match="No space left"):
        isolated.put({"big": bytes(80 * 2**20)})
    isolated.put({"big": None, "small": b"1"})
    assert isolated.run("cat small").output == "1"


# --- data ---------------------------------------------------------------------


def test_data_is_there_under_every_name_and_read_only(box: Sandbox, kind: str, public: Path) -> None:
    names = ["train.csv", "input/train.csv", "../input/toy/train.csv"]
    names += ["/kaggle/input/toy/train.csv"] if kind != "none" else []
    result = box.run(" && ".join(f"tail -1 {name}" for name in names) + " && cat images/a.txt")
    assert (result.status, result.output) == ("ok", "2,1\n" * len(names) + "pixels")
    if kind != "none":
        for command in (
            "echo x > train.csv",
            "echo x >> input/train.csv",
            "rm /kaggle/input/toy/train.csv",
            "touch input/new",
        ):
            assert box.run(command).status == "error"
        assert (public / "train.csv").read_text() == "id,y\n1,0\n2,1\n"
    assert box.pull(10**9) == {} and box.skipped == ()


def test_a_removed_link_to_the_data_is_back_at_the_next_run_and_a_file_wins_over_it(box: Sandbox) -> None:
    assert box.run("rm train.csv").status == "ok"
    assert box.run("tail -1 train.csv").output == "2,1\n"
    box.put({"train.csv": b"mine"})
    assert box.run("cat train.csv").output == "mine"
    assert box.run("tail -1 input/train.csv").output == "2,1\n"


# --- verdicts -----------------------------------------------------------------


def test_ok_error_and_exit_codes(box: Sandbox) -> None:
    result = box.run("echo hi; exit 7")
    assert (result.status, result.exit_code, result.output) == ("error", 7, "hi\n")
    result = python(box, "import sys; print('out'); print('err', file=sys.stderr); raise KeyError('x')")
    assert result.status == "error" and result.exit_code == 1 and result.detail == "KeyError: 'x'"
    assert result.output.startswith("out\nerr\nTraceback")
    result = python(box, "import os; os.abort()")
    assert result.status == "error" and "SIGABRT" in result.detail
    assert box.run("kill -9 $$").status == "killed"
    assert box.run("nonsense_command").exit_code == 127


def test_timeout_ends_the_whole_tree_and_keeps_the_output(box: Sandbox) -> None:
    program = """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(3): os.fork()
        if os.fork() == 0: os.setsid()
        print("working"); open("submission.csv", "a").write("x")
        while True: time.sleep(0.05)
    """
    began = time.monotonic()
    result = python(box, program, LIMITS.model_copy(update={"wall_s": 1.0}))
    assert result.status == "timeout" and result.exit_code is None
    assert 1.0 <= result.duration_s < 10 and time.monotonic() - began < 20  # a busy machine is slow
    assert "working" in result.output
    assert set(box.pull(10**6)) >= {"submission.csv"}
    assert box.run("ls /proc | grep -c '^[0-9]*$'").status == "ok"


def test_out_of_memory(box: Sandbox) -> None:
    result = python(box, "x = []\nwhile True: x.append(bytearray(1 << 20))")
    assert (result.status, result.exit_code) == ("oom", None)
    result = python(box, "import numpy; numpy.ones(10**14)")
    assert result.status == "oom" and result.exit_code == 1


def test_memory_can_not_be_hidden(box: Sandbox) -> None:
    program = """
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
        x = []
        while True: x.append(bytearray(1 << 20))
    """
    assert python(box, program).status == "oom"


def test_out_of_memory_in_a_worker_does_not_hang(box: Sandbox) -> None:
    program = """
        import multiprocessing
        def work(_): return len([bytearray(1 << 20) for _ in range(4000)])
        if __name__ == "__main__":
            multiprocessing.get_context("fork").Pool(2).map(work, range(2))
    """
    result = python(box, program, LIMITS.model_copy(update={"wall_s": 30.0}))
    assert result.status == "oom" and result.duration_s < 15


def test_disk_full_is_told_apart(isolated: Sandbox) -> None:
    result = python(isolated, "open('big', 'wb').write(bytes(80 << 20))")
    assert (result.status, result.exit_code) == ("disk", 1)
    assert isolated.run("rm big; head -c 80m /dev/zero > /tmp/big").status == "disk"
    assert isolated.run("head -c 80m /dev/zero > big; rm -f big; exit 3").status == "disk"
    assert isolated.run("head -c 8m /dev/zero > fits").status == "ok"


def test_files_in_the_work_folder_count_into_memory(kind: str, public: Path) -> None:
    if kind == "none":
        pytest.skip("its work folder is on disk")
    small = made(kind, public, LIMITS.model_copy(update={"memory_mb": 300, "disk_mb": 150}))
    small.start()
    try:
        result = python(
            small,
            "open('f', 'wb').write(bytes(120 << 20)); x = bytearray(250 << 20); import time; time.sleep(1)",
        )
        assert result.status == "oom"
    finally:
        small.close()


def test_missing_package(box: Sandbox) -> None:
    result = python(box, "import not_there.sub")
    assert (result.status, result.missing_package) == ("missing_package", "not_there")
    assert python(box, "import json.nothing").status == "error"
    assert python(box, "try:\n import not_there\nexcept ImportError: print('fine')").status == "ok"


def test_stop_ends_a_run(box: Sandbox) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    result = box.run("sleep 30 & sleep 30", stop=stop)
    assert (result.status, result.exit_code) == ("killed", None)
    assert time.monotonic() - began < 3
    assert box.run("echo on").output == "on\n"


def test_a_stop_that_is_set_already_ends_it_at_once(box: Sandbox) -> None:
    stop = threading.Event()
    stop.set()
    assert box.run("sleep 30", stop=stop).status == "killed"


# --- output -------------------------------------------------------------------


def test_output_streams_with_times(box: Sandbox) -> None:
    seen: list[tuple[float, str]] = []
    began = time.monotonic()
    result = box.run(
        "echo a; sleep 0.4; echo b; echo c >&2",
        on_output=lambda text: seen.append((time.monotonic() - began, text)),
    )
    assert "".join(text for _, text in seen) == result.output == "a\nb\nc\n"
    assert seen[0][0] < 0.35 < seen[1][0]
    assert len(result.line_times) == 3 and result.line_times[1] - result.line_times[0] > 0.3
    assert result.duration_s >= 0.4 and result.peak_memory_mb is not None


def test_a_flood_keeps_head_and_tail(box: Sandbox) -> None:
    shown: list[str] = []
    box.put({"flood.py": b"print('first')\nfor i in range(400_000): print('line', i)\nprint('last')"})
    result = box.run("PYTHONUNBUFFERED= python flood.py", on_output=shown.append)
    assert result.status == "ok"
    assert result.output.startswith("first\nline 0\n") and result.output.endswith("line 399999\nlast\n")
    assert len(result.output) < 66_000
    whole = len("first\nlast\n") + sum(len(f"line {i}\n") for i in range(400_000))
    kept = len(result.output) - len(f"... {result.dropped_bytes} bytes of output dropped ...\n")
    assert whole - result.dropped_bytes <= kept <= whole - result.dropped_bytes + 1
    assert len(result.line_times) == len(result.output.splitlines())


def test_output_can_not_steer_a_terminal(box: Sandbox) -> None:
    program = r"""
        import sys
        w = sys.stdout.buffer.write
        w(b"\x1b[31mred\x1b[0m \x1b]0;title\x07t \x1b]52;c;aGk=\x1b\\p \x9b1mz\n")
        w(b"1%\r50%\r100%\n\xff\xfe\x00nul\n" + b"\x1b]unclosed\n" + "\u202eflip\n".encode() + b"x" * 100_000)
    """
    result = python(box, program, LIMITS.model_copy(update={"output_bytes": 200_000}))
    assert not set(result.output) & {
        chr(c) for c in (*range(9), *range(11, 32), 127, *range(128, 160), 0x202E)
    }
    lines = result.output.split("\n")
    assert (
        lines[0].startswith("red t p ") and lines[1] == "100%" and lines[2].endswith("nul") and lines[3] == ""
    )
    assert lines[4] == "flip" and lines[5] == "x" * 100_000


# --- what is inside -----------------------------------------------------------


def test_packages_and_the_libraries_people_use(box: Sandbox) -> None:
    packages = dict(line.split("==") for line in box.packages())
    assert {"numpy", "pandas", "scikit-learn"} <= set(packages)
    program = """
        import json, os, sys, tempfile
        import numpy, pandas
        from joblib import Parallel, delayed
        from sklearn.linear_model import LogisticRegression
        from sklearn.datasets import make_classification
        x, y = make_classification(random_state=0)
        score = LogisticRegression().fit(x, y).score(x, y)
        parallel = Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(3))
        facts = [score > 0.5, parallel, os.path.basename(os.getcwd()), os.environ["PYTHONHASHSEED"]]
        json.dump(facts, open("out.json", "w"))
        tempfile.TemporaryFile().write(b"x")
    """
    result = python(box, program)
    assert result.status == "ok", result.output
    assert json.loads(box.pull(10**6)["out.json"]) == [True, [0, 1, 4], "working", "0"]


def test_a_run_may_have_less_memory_than_its_sandbox(box: Sandbox) -> None:
    program = "x = bytearray(300 << 20); import time; time.sleep(0.5)"
    assert python(box, program).status == "ok"
    assert python(box, program, LIMITS.model_copy(update={"memory_mb": 200})).status == "oom"


def test_a_session_can_not_raise_its_own_limits(isolated: Sandbox) -> None:
    wide = LIMITS.model_copy(update={"memory_mb": 100_000, "pids": 10_000, "disk_mb": 100_000})
    result = python(isolated, "x = []\nwhile True: x.append(bytearray(1 << 20))", wide)
    assert result.status == "oom" and (result.peak_memory_mb or 0) < 1000
