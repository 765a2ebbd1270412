"""One step: its action, output, reward part by part, facts and the whole prompt, a tab each."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static, TabbedContent, TabPane

from ..records import Label, Step
from ..trajectory import detail
from ..trajectory.codec import clip_middle
from ..trajectory.lines import Progress, number, progress, sign, step_text
from .live import LiveScreen
from .widgets import TextPane

TABS = ("action", "output", "reward", "facts", "prompt")
SHOWN_CHARACTERS = 200_000
"""Of a text, head and tail; more would only make scrolling slow."""

_STYLE = {"✓": "green", "✗": "red", "·": "dim"}


class StepScreen(LiveScreen):
    """A step of a session; `n` and `p` go to its neighbours."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(str(i), f"tab('{name}')", name, show=False) for i, name in enumerate(TABS, start=1)],
        Binding("right,l,tab", "turn_tab(1)", "Tab", key_display="←→", priority=True),
        Binding("left,h,shift+tab", "turn_tab(-1)", "Tab", show=False, priority=True),
        Binding("n,right_square_bracket", "neighbour(1)", "Next"),
        Binding("p,left_square_bracket", "neighbour(-1)", "Previous"),
        Binding("plus", "label('+')", "Good", key_display="+"),
        Binding("minus", "label('-')", "Bad", key_display="-"),
        Binding("q,escape", "back", "Back", key_display="q"),
    ]

    def __init__(self, session_id: str, step_id: str) -> None:
        super().__init__()
        self.session_id = session_id
        self.step_id = step_id
        self._step: Step | None = None

    def compose(self) -> ComposeResult:
        """Header and tabs."""
        yield Static(id="title")
        yield Static(id="plan")
        with TabbedContent(initial=TABS[0]):
            for name in TABS:
                with TabPane(name.capitalize(), id=name):
                    yield TextPane(id=f"{name}-text")
        yield Footer()

    def on_mount(self) -> None:
        """Read the step."""
        self.follow()
        self._focus_pane()

    def reload(self) -> None:
        """Read the step again; only its reward and labels can have changed."""
        self._step = self.store.step(self.step_id)
        steps = progress(self.store.step_lines(self.session_id))
        here = next(step for step in steps if step.line.id == self.step_id)
        self.query_one("#title", Static).update(_title(here, len(steps)))
        plan = Text(detail.printable(self._step.action.plan), no_wrap=True, overflow="ellipsis")
        self.query_one("#plan", Static).update(plan)
        self._fill(self.query_one(TabbedContent).active)

    def _fill(self, name: str) -> None:
        """Texts are made when their tab is looked at."""
        if self._step is None or not name:
            return
        if name == "prompt":
            words = detail.prompt_text(self.store.messages(self.step_id))
        else:
            words = _words(self._step, name)
        text = Text(clip_middle(words, SHOWN_CHARACTERS))
        if name == "action" and self._step.diff:
            text.append("\n\n")
            text.append_text(_diff(self._step.diff))
        self.query_one(f"#{name}-text", TextPane).show(text)

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Fill the tab that came to the front."""
        self._fill(event.pane.id or "")
        self._focus_pane()

    def _focus_pane(self) -> None:
        self.query_one(f"#{self.query_one(TabbedContent).active}-text", TextPane).focus()

    def action_tab(self, name: str) -> None:
        """Show a tab by name."""
        self.query_one(TabbedContent).active = name

    def action_turn_tab(self, direction: int) -> None:
        """The tab to the right (+1) or left (-1)."""
        tabs = self.query_one(TabbedContent)
        tabs.active = TABS[(TABS.index(tabs.active) + direction) % len(TABS)]

    def action_neighbour(self, direction: int) -> None:
        """The next (+1) or previous (-1) step, on the same tab."""
        ids = [line.id for line in self.store.step_lines(self.session_id)]
        place = ids.index(self.step_id) + direction
        if 0 <= place < len(ids):
            self.step_id = ids[place]
            self.follow()

    def action_label(self, label: Label) -> None:
        """Label this step."""
        self.store.add_label(self.step_id, label)
        self.follow()


def _title(here: Progress, count: int) -> Text:
    line = here.line
    text = Text(f"{step_text(here)}", style=_STYLE[sign(line)])
    if line.reward is not None:
        text.append(f"  reward {number(line.reward, 3)}", style="default")
    if line.label:
        text.append(f"  [{line.label}]", style="bold magenta")
    text.append(f"  of {count} in {line.session_id}", style="dim")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _words(step: Step, name: str) -> str:
    if name == "action":
        return detail.action_text(step.action)
    if name == "output":
        said = detail.printable(step.observation)
        told = f"\n\n── told to the model ──\n{said}" if step.execution is not None and said else ""
        return detail.output_text(step) + told
    return detail.reward_text(step.rewards) if name == "reward" else detail.facts_text(step.facts)


def _diff(diff: str) -> Text:
    """A unified diff, added lines green, removed ones red."""
    text = Text()
    for line in detail.printable(diff).splitlines(keepends=True):
        text.append(line, style=detail.diff_style(line))
    return text
