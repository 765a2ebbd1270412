"""What is persisted and what crosses a module's border: tasks, actions, facts, steps, sessions.

Plain, frozen pydantic records with no behaviour beyond comparing scores. This
module imports nothing of ours, so that every other one may import it. Words are
those of DESIGN §4. Durations are seconds, memory is MiB (2**20 bytes), times are
seconds since the epoch, utilities are in 0..1 unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["maximize", "minimize"]
ScoreKind = Literal["feedback", "sealed", "self-reported", "leaderboard"]
Prediction = Literal["label", "probability", "value", "ranking"]


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- task ---------------------------------------------------------------------


class MetricSpec(Record):
    """A metric as scores need it. `optimum` and `direction` define what better means."""

    name: str
    direction: Direction
    optimum: float
    prediction: Prediction
    """What a submission holds: labels, one probability (column) per class, values, ranked lists."""


ColumnType = Literal["numeric", "categorical", "boolean", "date", "text", "path", "id", "constant"]


class ColumnProfile(Record):
    """What is known of one column of the train table."""

    name: str
    type: ColumnType
    missing: float
    """Share of missing values, 0..1."""
    unique: int
    """Distinct non-missing values."""
    note: str = ""
    """E.g. `skewed`, `group-like`, `target`, `date range 2011..2014`."""


class Input(Record):
    """A file or folder of the user's that the sandbox may read, under its public name."""

    path: str
    """Relative to the public folder."""
    role: Literal["train", "test", "sample_submission", "description", "media", "table", "code", "other"]
    bytes: int = 0


class Withheld(Record):
    """A file of the user's that is not mounted, and why."""

    path: str
    reason: str


class Task(Record):
    """A folder understood and prepared: what is asked, what is mounted, how it is scored."""

    name: str
    kind: Literal["table", "media", "eval", "self-reported"]
    """`table`/`media`: labels to hold out; `eval`: metric read from a command;
    `self-reported`: no usable labels, scores are the program's own claims."""
    folder: Path
    """The user's folder; never written."""
    public: Path
    """Prepared inputs; mounted read-only at `/kaggle/input/<name>/`."""
    private: Path | None = None
    """Held-out labels; never mounted."""
    content_hash: str
    """Of everything the preparation depends on (files, settings, split seed)."""
    split_hash: str = ""
    """Of the sealed rows alone: looks at them are counted by it, whatever else in the folder changes."""
    description: str = ""
    """The user's own words: description.md, README, AGENTS.md, the words on the command line."""
    metric: MetricSpec | None = None
    targets: tuple[str, ...] = ()
    id_column: str | None = None
    submission_columns: tuple[str, ...] = ()
    problem: Literal["binary", "multiclass", "regression", "multi-target", "ranking", "unknown"] = "unknown"
    classes: tuple[str, ...] = ()
    columns: tuple[ColumnProfile, ...] = ()
    group_column: str | None = None
    time_column: str | None = None
    rows_labelled: int = 0
    rows_train: int = 0
    rows_feedback: int = 0
    rows_sealed: int = 0
    rows_test: int = 0
    """The user's own test rows."""
    inputs: tuple[Input, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    verified: bool = True
    """False when `include` overrode the withholding: scores are then marked unverified."""
    start: str | None = None
    """The user's baseline script, relative to the workspace; runs as step 0."""
    eval_command: str | None = None
    seed: int = 0
    """Seed of the holdout split."""
    learn: bool = True
    notes: tuple[str, ...] = ()
    """One-line warnings worth showing: what was guessed, what is unusual."""

    @property
    def mount(self) -> str:
        """Where the public folder lies inside the sandbox."""
        return f"/kaggle/input/{self.name}"


class Score(Record):
    """A value of a metric. `better_than` knows the direction; nobody writes `if maximize`."""

    value: float
    metric: str
    direction: Direction
    kind: ScoreKind
    se: float | None = None
    """Standard error in the metric's unit; None when it can't be had."""
    n: int | None = None
    """Rows it was measured on."""
    verified: bool = True
    looks: int | None = None
    """Sealed scores only: how often this split's sealed rows have been looked at, this one included."""

    def better_than(self, other: Score | None) -> bool:
        """Whether this score is strictly better than `other` (anything beats None)."""
        if other is None:
            return True
        return self.value > other.value if self.direction == "maximize" else self.value < other.value


class Grade(Record):
    """What the scorer says of a submission. Sealed numbers are kept apart, see `SealedGrade`."""

    valid: bool
    reason: str = ""
    """Why it is invalid: one line with the column, the count and an example."""
    score: Score | None = None
    utility: float | None = None
    utility_se: float | None = None
    delta_utility: float | None = None
    """Utility minus that of the best submission before it, paired on the same rows."""
    delta_se: float | None = None
    """Standard error of `delta_utility`."""


class SealedGrade(Record):
    """The sealed rows' verdict on a submission: for reports, the gate and benchmarks only."""

    score: Score
    utility: float
    utility_se: float | None = None


# --- actions ------------------------------------------------------------------

ActionKind = Literal["list", "read", "data", "write", "edit", "run", "undo", "submit", "invalid"]


class Action(Record):
    """One parsed action (DESIGN §6)."""

    kind: ActionKind
    plan: str = ""
    """The plan line, without its `Plan:`."""
    path: str = ""
    body: str = ""
    """File content for `write`, SEARCH/REPLACE blocks for `edit`, the command for `run`."""
    start: int | None = None
    end: int | None = None
    steps: int = 1
    execute: bool = True
    """False for `run="no"`: edit only."""
    background: bool = False
    error: str = ""
    """For `invalid`: what is wrong with the reply."""


# --- execution ----------------------------------------------------------------

ExecutionStatus = Literal["ok", "error", "timeout", "oom", "disk", "killed", "missing_package", "lost"]


class Limits(Record):
    """Hard limits of one run. Exceeding one gives the verdict of the same name."""

    wall_s: float = 1800.0
    memory_mb: int = 4096
    cpus: float = 2.0
    pids: int = 256
    disk_mb: int = 2048
    """Size of the work folder; counted into the memory limit where it is a tmpfs."""
    output_bytes: int = 256_000
    """Output kept, head and tail; the rest is dropped and counted."""


class Execution(Record):
    """One run of a command in the sandbox, as measured from outside it."""

    command: str
    status: ExecutionStatus
    exit_code: int | None = None
    """None when it was ended from outside."""
    duration_s: float = 0.0
    peak_memory_mb: float | None = None
    output: str = ""
    """stdout and stderr together in order of arrival, capped, escapes removed."""
    dropped_bytes: int = 0
    line_times: tuple[float, ...] = ()
    """Seconds since the start at which each line of `output` arrived; empty if unknown."""
    missing_package: str = ""
    detail: str = ""
    """One line for people when `status` is not ok."""
    sandbox: str = ""
    cached: bool = False


# --- reward -------------------------------------------------------------------

MILESTONES = (
    "imported packages",
    "loaded data",
    "defined model",
    "trained model",
    "validation score",
    "predicted test",
    "saved submission",
)
"""In order; M = 7 (DESIGN §8)."""


class Mark(Record):
    """An annotator's statement that milestone `name` is reached after source line `line` (1-based)."""

    name: str
    line: int


class Milestone(Record):
    """A milestone that counted, with the time since the run's start at which it was reached."""

    name: str
    at_s: float | None = None
    source: Literal["program", "grader"] = "program"


class Facts(Record):
    """Everything a reward may depend on, raw. Rewards are pure functions of a list of these."""

    format_valid: bool
    repaired: bool = False
    """The first reply was malformed and the one repair attempt gave this action."""
    action: ActionKind
    executed: bool = False
    status: ExecutionStatus | None = None
    duration_s: float = 0.0
    generation_s: float = 0.0
    peak_memory_mb: float | None = None
    milestones: tuple[Milestone, ...] = ()
    forged: int = 0
    """Milestone claims that did not count (wrong line, order or tag)."""
    submission: Literal["none", "invalid", "valid"] = "none"
    submission_error: str = ""
    direction: Direction | None = None
    optimum: float | None = None
    dummy: float | None = None
    """The best constant prediction's score on the same rows."""
    score: float | None = None
    """Feedback score in the metric's unit (the self-reported one for eval tasks)."""
    score_se: float | None = None
    score_kind: ScoreKind | None = None
    utility: float | None = None
    utility_se: float | None = None
    best_utility_before: float | None = None
    delta_utility: float | None = None
    """Against the best before, paired; None for the first valid submission."""
    delta_se: float | None = None
    self_reported: float | None = None
    redundant: bool = False
    """The action changes nothing or repeats an earlier one exactly."""
    tokens_in: int | None = None
    tokens_out: int | None = None


class RewardPart(Record):
    """One term of a reward, as shown on screen."""

    name: str
    value: float
    why: str = ""


class Reward(Record):
    """A scheme's verdict on one step. `total` is the sum of the parts."""

    scheme: str
    version: int
    total: float
    parts: tuple[RewardPart, ...] = ()


# --- policy -------------------------------------------------------------------


class Message(Record):
    """One chat message as the prompt holds it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(Record):
    """Sampling parameters of one completion."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 2048
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Usage(Record):
    """Tokens of one completion; None where the endpoint does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens whose evaluation was reused."""


class Completion(Record):
    """One reply of a policy, with what training needs of it."""

    text: str
    finish_reason: Literal["stop", "length", "error"] = "stop"
    usage: Usage = Usage()
    prompt_ids: tuple[int, ...] = ()
    """Exact token ids of the prompt; empty where the policy has none."""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Log-probability of each of `token_ids` under the sampling policy."""
    model: str = ""
    adapter: str = ""
    duration_s: float = 0.0


# --- trajectory ---------------------------------------------------------------

Label = Literal["+", "-", "undone", "rejected"]


class Step(Record):
    """One action with its observation. Stores only what it added to the prompt."""

    id: str
    session_id: str
    parent_id: str | None = None
    """The step whose prompt this one continues; a fork shares its parent; None at a prefix root."""
    index: int
    """1, 2, ... along a branch; 0 is the user's baseline run."""
    created_at: float
    added: tuple[Message, ...] = ()
    """Messages this step appended: what was asked (roots: system and brief), then the reply."""
    compaction: bool = False
    """This step starts a new prefix root: `added` holds the compacted prompt."""
    action: Action
    observation: str = ""
    """What the next prompt is told."""
    execution: Execution | None = None
    facts: Facts
    rewards: tuple[Reward, ...] = ()
    """By scheme; empty while an action that executes nothing waits for the next execution."""
    score: Score | None = None
    submission_path: str = ""
    """The stored copy of the submission this step left, relative to the session's folder."""
    checkpoint: str = ""
    """Commit of the workspace after the step."""
    diff: str = ""
    """Unified diff of the files the action changed."""
    completion: Completion | None = None
    sampling: Sampling | None = None
    template_hash: str = ""
    duration_s: float = 0.0
    """Whole step: generation, execution, grading and logging."""
    overhead_s: float = 0.0
    """`duration_s` less generation and execution: the framework's own cost."""
    trainable: bool = True
    """False when a secret was redacted from the generated text."""


SessionStatus = Literal["running", "done", "no_submission", "failed", "interrupted"]


class Session(Record):
    """One `solve` on one task."""

    id: str
    created_at: float
    task: Task
    policy: str
    """What the user asked for or auto chose: `playbook`, a model name, an endpoint."""
    model: str = ""
    adapter: str = ""
    sandbox: str
    reward_scheme: str = "unified"
    seed: int = 0
    instruction: str = ""
    """The user's words on the command line."""
    status: SessionStatus = "running"
    steps: int = 0
    best_step_id: str | None = None
    best: Score | None = None
    best_utility: float | None = None
    wall_s: float = 0.0
    submission: str = ""
    """Path of the file to upload, once written."""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """Flags and versions needed to make the run again."""
    ended_at: float | None = None


class State(Record):
    """What a policy may look at: the task and the trajectory so far (DESIGN §4)."""

    task: Task
    steps: tuple[Step, ...] = ()
    """Along the current branch, oldest first."""
    best: Score | None = None
    best_step_id: str | None = None
    instruction: str = ""
    steps_left: int | None = None
    time_left_s: float | None = None
    exec_limit_s: float | None = None
    packages: tuple[str, ...] = ()
    """Importable in the sandbox beyond the standard library."""
    solution: str = "solution.py"
    seed: int = 0
