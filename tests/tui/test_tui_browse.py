"""The browser on a real store, through a real Textual app, at two terminal sizes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Footer, Input, Sparkline, Static, TabbedContent
from tui_store import add_bare_sessions, add_session_with_steps, make_session, make_step

from mleagent.errors import StoreError
from mleagent.trajectory.store import Store
from mleagent.tui.app import BrowseApp
from mleagent.tui.session import SessionScreen
from mleagent.tui.sessions import PAGE, SessionsScreen
from mleagent.tui.step import StepScreen
from mleagent.tui.widgets import TextPane, VimTable

SIZES = [(80, 24), (120, 40)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Three sessions of eight steps, s00002 the newest."""
    with Store.open(path) as opened:
        for number in range(3):
            add_session_with_steps(opened, number)
        yield opened


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()


def text(app: BrowseApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def rows(app: BrowseApp) -> list[list[str]]:
    table = app.screen.query_one(VimTable)
    return [[str(cell) for cell in table.get_row(row.key)] for row in table.ordered_rows]


def pane_lines(app: BrowseApp) -> list[str]:
    pane = app.focused
    assert isinstance(pane, TextPane)
    return [line.text.rstrip() for line in pane.lines]


def visible(app: BrowseApp) -> str:
    """What the terminal shows."""
    size = app.size
    strips = app.screen._compositor.render_strips(size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@sizes
async def test_from_sessions_to_a_step_and_back_out(store: Store, size: tuple[int, int]) -> None:
    app = BrowseApp(store.path)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, SessionsScreen)
        assert [row[-1] for row in rows(app)] == ["s00002", "s00001", "s00000"]
        for part in ("3 sessions", "task-2", "±.0096", "Open", "Filter", "Quit"):
            assert part in visible(app), part
        await press(pilot, "j", "enter")
        assert isinstance(app.screen, SessionScreen)
        assert "s00001" in text(app, "#title")
        assert "look 1" in text(app, "#summary")
        lines = rows(app)
        assert [row[0] for row in lines] == [str(i) for i in range(1, 9)]
        assert lines[1][1:3] == ["✗", "error"]
        assert lines[0][1] == "✓" and lines[0][4].startswith("0.6")
        for part in ("target encoding", "Good", "Bad", "Back"):
            assert part in visible(app), part
        await press(pilot, "down", "enter")
        assert isinstance(app.screen, StepScreen)
        assert "step 2 ✗ error" in text(app, "#title")
        assert '<write path="solution.py">' in visible(app)
        assert len(app.screen.query(Footer)) == 1
        await press(pilot, "q")
        assert isinstance(app.screen, SessionScreen)
        await press(pilot, "q")
        assert isinstance(app.screen, SessionsScreen)
        assert app.screen.query_one(VimTable).cursor_row == 1
        await press(pilot, "q")
    assert app.return_code == 0


@sizes
async def test_every_tab_of_a_step(store: Store, size: tuple[int, int]) -> None:
    app = BrowseApp(store.path)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await press(pilot, "enter", "enter")
        expected = {
            "action": ["model.fit(train, y)", "+new"],
            "output": ["fold 59 auc 0.859", "feedback score"],
            "reward": ["unified v1", "utility"],
            "facts": [
                "milestone              loaded data at 0.20s (program)",
                "submission             valid",
            ],
            "prompt": ["── assistant ──", "observation 0"],
        }
        for key, (name, parts) in enumerate(expected.items(), start=1):
            await press(pilot, str(key))
            assert app.screen.query_one(TabbedContent).active == name
            shown = "\n".join(pane_lines(app))
            for part in parts:
                assert part in shown, (name, part)
            pane = app.focused
            assert pane is not None and pane.size.height > size[1] // 2
        await press(pilot, "l")
        assert app.screen.query_one(TabbedContent).active == "action"
        await press(pilot, "left")
        assert app.screen.query_one(TabbedContent).active == "prompt"
        await press(pilot, "h", "h", "h", "right")
        assert app.screen.query_one(TabbedContent).active == "reward"


async def test_a_long_output_scrolls_with_vi_keys_and_wraps_on_resize(store: Store) -> None:
    step = make_step("s00000", 9, 0.9)
    assert step.execution is not None
    long = step.execution.model_copy(update={"output": "word " * 100 + "\x1b[31mred\n" + "line\n" * 5000})
    store.commit_step(step.model_copy(update={"execution": long}), make_session(0, 9))
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "G", "enter", "G", "enter", "2")
        assert all(len(line) <= 80 for line in pane_lines(app))
        assert "\x1b" not in "\n".join(pane_lines(app))
        narrow = len(pane_lines(app))
        pane = app.focused
        assert pane is not None
        await press(pilot, "j", "j")
        await pilot.wait_for_scheduled_animations()
        assert pane.scroll_y == 2
        await press(pilot, "G")
        await pilot.wait_for_scheduled_animations()
        assert pane.scroll_y > 4000
        await pilot.resize_terminal(160, 40)
        await pilot.pause()
        assert len(pane_lines(app)) < narrow


async def test_neighbours_keep_the_tab(store: Store) -> None:
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter", "enter", "3", "n", "n")
        assert "step 3 ✓" in text(app, "#title")
        assert app.screen.query_one(TabbedContent).active == "reward"
        reward = store.rewards("s00002-3")[0]
        assert pane_lines(app)[0].startswith(f"{reward.total:+.4f}")
        await press(pilot, "p", "p", "p", "p")
        assert "step 1 ✓" in text(app, "#title")


async def test_labels_from_the_list_and_from_the_step(store: Store) -> None:
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter", "j", "plus")
        assert rows(app)[1][6] == "+"
        await press(pilot, "enter", "minus")
        assert "[-]" in text(app, "#title")
        await press(pilot, "q")
        assert rows(app)[1][6] == "-"
        assert app.screen.query_one(VimTable).cursor_row == 1
    assert [(x.index, x.label) for x in store.labels("s00002")] == [(2, "+"), (2, "-")]


async def test_the_best_score_climbs_whichever_way_the_metric_goes(store: Store) -> None:
    session = make_session(7)
    store.add_session(session)
    for index, value in enumerate((3.0, 5.0, 2.0, 2.5), start=1):
        step = make_step(session.id, index, value)
        assert step.score is not None
        lower = step.score.model_copy(update={"direction": "minimize", "metric": "rmse"})
        store.commit_step(step.model_copy(update={"score": lower}), session)
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter")
        assert app.screen.query_one(Sparkline).data == [-3.0, -3.0, -2.0, -2.0]
        assert [row[3] for row in rows(app)] == ["", "-2.0000", "+1.0000", "-.5000"]


async def test_an_empty_store_says_what_to_do(path: Path) -> None:
    app = BrowseApp(path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "No session yet" in visible(app) and "mleagent solve DIR" in visible(app)
        await press(pilot, "j", "k", "G", "enter", "n", "p", "q")
    assert app.return_code == 0


async def test_a_session_without_steps(store: Store) -> None:
    store.add_session(make_session(9))
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter")
        assert "No step yet." in visible(app)
        await press(pilot, "plus", "enter", "j", "q")
        assert isinstance(app.screen, SessionsScreen)


@sizes
async def test_filter_searches_all_texts(store: Store, size: tuple[int, int]) -> None:
    step = make_step("s00000", 9, 0.9)
    store.commit_step(step.model_copy(update={"observation": "quaint [b]words"}), make_session(0, 9))
    app = BrowseApp(store.path)
    async with app.run_test(size=size) as pilot:
        await press(pilot, "slash", *"quai")
        await pilot.pause(0.3)
        assert [row[-1] for row in rows(app)] == ["s00000"]
        await press(pilot, "enter", "enter")
        assert isinstance(app.screen, SessionScreen)
        await press(pilot, "q", "slash", *"zz[b]")
        await pilot.pause(0.3)
        assert "Nothing matches 'zz[b]'" in visible(app)
        await press(pilot, "escape")
        assert len(rows(app)) == 3
        assert not app.screen.query_one(Input).display
        assert isinstance(app.focused, VimTable)


async def test_what_another_process_commits_appears(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mleagent.tui.app.FOLLOW_SECONDS", 0.05)
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import tui_store\n"
        "with tui_store.Store.open(Path(sys.argv[1])) as store:\n"
        "    tui_store.add_session_with_steps(store, 50, 3)\n"
        "    store.commit_step(tui_store.make_step('s00002', 9, 0.99), tui_store.make_session(2, 9))\n"
    )
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter", "j", "j")
        command = [sys.executable, "-c", script, str(store.path), str(Path(__file__).parent)]
        subprocess.run(command, check=True, timeout=60)
        await pilot.pause(0.3)
        assert rows(app)[-1][2] == "0.9900 ±.0096"
        assert app.screen.query_one(VimTable).cursor_row == 2
        await press(pilot, "q")
        assert [row[-1] for row in rows(app)] == ["s00050", "s00002", "s00001", "s00000"]
        assert app.screen.query_one(VimTable).current_key() == "s00002"


async def test_a_session_deleted_meanwhile_closes_its_screen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mleagent.tui.app.FOLLOW_SECONDS", 0.05)
    app = BrowseApp(store.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter", "enter")
        store.delete_session("s00002")
        await pilot.pause(0.3)
        assert isinstance(app.screen, SessionsScreen)
        assert [row[-1] for row in rows(app)] == ["s00001", "s00000"]


async def test_ten_thousand_sessions_open_at_once_and_are_paged(path: Path) -> None:
    with Store.open(path) as store:
        add_bare_sessions(store, 0, 10_000)
    app = BrowseApp(path)
    begin = time.perf_counter()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert time.perf_counter() - begin < 3.0  # aim 1 s on an idle core; the machine may be busy
        table = app.screen.query_one(VimTable)
        assert table.row_count == PAGE
        assert "10,000 sessions, 1 to 200" in text(app, "#title")
        await press(pilot, "G", "j")
        assert "201 to 400" in text(app, "#title")
        assert (table.row_count, table.cursor_row, table.current_key()) == (PAGE, 0, "s09799")
        await press(pilot, "k")
        assert (table.cursor_row, table.current_key()) == (PAGE - 1, "s09800")
        await press(pilot, "p", "g", "k")
        assert table.current_key() == "s09999"


async def test_paging_ends_with_the_oldest_session(path: Path) -> None:
    with Store.open(path) as store:
        add_bare_sessions(store, 0, 2 * PAGE + 30)
    app = BrowseApp(path)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "n", "n", "n", "n")
        assert "401 to 430" in text(app, "#title")
        await press(pilot, "G", "j")
        assert app.screen.query_one(VimTable).current_key() == "s00000"


def test_what_is_no_store_is_one_line_before_the_screen_changes(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("notes " * 1000)
    with pytest.raises(StoreError, match="move it away"):
        BrowseApp(tmp_path / "store.db")


def test_browsing_imports_neither_pandas_nor_sklearn() -> None:
    code = (
        "import sys, mleagent.tui.app, mleagent.cli.browse_cmd\n"
        "heavy = {'pandas', 'sklearn', 'numpy', 'docker', 'llama_cpp', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
