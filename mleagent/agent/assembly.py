"""Builds the collaborators of a session: policy, sandbox, scorer, workspace, prompt settings.

Used by `start.py` for new and resumed sessions alike, so that both are made of
the same things.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

from .. import events
from ..config import Settings, data_home, seconds, user_path
from ..errors import InputError
from ..protocols import Policy, Sandbox, SandboxSpec
from ..records import Limits, Session, Task
from ..reward.annotate import AstAnnotator
from ..task.options import TaskOptions
from ..trajectory.redaction import redact
from ..trajectory.store import Store
from .budget import Budget
from .cache import ExecutionCache
from .checkpoints import Checkpoints
from .compact import can_serve, context_of, sampling_for
from .execute import Executor
from .folder import SessionFolder
from .install import Installer
from .jobs import Jobs
from .log import Log
from .parts import Parts
from .perform import Performer
from .recall import Recall
from .scorers import Claimed, Command, HeldOut
from .session import Solver
from .templates import Templates
from .trial import Trial
from .wish import Wish
from .workspace import Workspace

SMALL_CODE = 2**20
"""Project files up to this size (bytes) are copied into the workspace, where they can be changed."""


def policy_of(wish: Wish, task: Task) -> Policy:
    """The policy that `--model` names, ready to be asked. Raises MleagentError, also when it declines."""
    from ..models.named import policy_named

    return policy_named(
        wish.settings.model,
        wish.settings,
        wish.seed,
        lambda text: wish.emit(events.Notice(text=text)),
        unfit=can_serve(task),
    )


def sandbox_of(
    wish: Wish, task: Task, options: TaskOptions, session_id: str, packages: Path | None = None
) -> tuple[Sandbox, Callable[[Path], Sandbox]]:
    """The session's sandbox, started, and a maker of others of its kind.

    `packages` is the folder that `/install` adds to. `[env] requirements` are fetched here when they are
    new. Raises MleagentError.
    """
    from ..sandbox import environment
    from ..sandbox.choose import choose, make

    env = options.env
    recipe = environment.recipe(task.folder, env.requirements, env.wheelhouse, env.python)
    mounts = environment.checked_mounts(wish.mounts)
    own = (packages,) if packages else ()
    spec = SandboxSpec(
        session_id=session_id,
        task_name=task.name,
        public=task.public,
        limits=limits_of(wish.settings),
        image=options.env.image or wish.settings.image,
        gpus=wish.gpus,
        mounts=mounts,
        python=recipe.python,
        packages=own,
        env=environment.weights_env(mounts),
    )
    say = _saying(wish)
    sandbox = choose(environment.kind(wish.settings.sandbox, recipe), spec, wish.settings, say)
    sandbox.start()
    if recipe.requirements:
        try:
            made = environment.build(recipe, sandbox, data_home(), say)
        finally:
            sandbox.close()
        sandbox.spec = sandbox.spec.model_copy(update={"packages": (*own, made)})
        sandbox.start()

    def another(public: Path) -> Sandbox:
        return make(sandbox.name, sandbox.spec.model_copy(update={"public": public}))

    return sandbox, another


def _saying(wish: Wish) -> Callable[[str], None]:
    return lambda text: wish.emit(events.Notice(text=text))


def limits_of(settings: Settings) -> Limits:
    """Limits of a run on this machine."""
    cores = float(os.cpu_count() or 1)
    return Limits(
        wall_s=seconds(settings.exec_limit, "--exec-limit"),
        memory_mb=settings.memory_mb,
        cpus=min(settings.cpus or cores, cores),
        disk_mb=settings.disk_mb,
    )


def solver_of(
    wish: Wish,
    session: Session,
    options: TaskOptions,
    policy: Policy,
    sandbox: Sandbox,
    make_sandbox: Callable[[Path], Sandbox],
    home: Path | None = None,
) -> Solver:
    """Everything put together; locks the session's folder and opens the store under `home` (data_home())."""
    from ..sandbox.environment import listed, merged

    task, settings, home = session.task, wish.settings, home or data_home()
    folder = SessionFolder(home, session.id)
    folder.lock()
    store = Store.open(home / "store.db")
    steps = store.steps(session.id)
    templates = Templates()
    workspace = Workspace(folder.work, Checkpoints(folder.checkpoints, settings.checkpoint_mb))
    limits = limits_of(settings)
    executor = executor_of(task, sandbox, workspace, settings)
    share_gpu(sandbox, policy, settings)
    if settings.cache:
        cache = ExecutionCache(home / "cache", settings.cache_mb)
        executor.recall = Recall(cache, workspace, sandbox, task.content_hash, session.seed)
    if isinstance(executor.scorer, Command):
        executor.scorer.restore(steps[0].score.value if steps and steps[0].score else None)
    executor.trial = trial_of(task, settings, sandbox, make_sandbox)
    solution = lay_out(task, workspace, fresh=not steps)
    context = context_of(policy, templates, task, session.instruction)
    added = listed(*packages_of(sandbox))
    packages = merged(sandbox.packages(), *packages_of(sandbox))
    parts = Parts(
        home=home, settings=settings, store=store, policy=policy, sandbox=sandbox,
        make_sandbox=make_sandbox, folder=folder,
        options=options, templates=templates, context=context,
        executor=executor, performer=Performer(task, workspace, executor, solution),
        budget=Budget(settings.steps, seconds(settings.time, "--time"), wish.tokens), control=wish.control,
        log=Log(store, templates.digest()), emit=wish.emit,
        sampling=sampling_for(context, settings.temperature, settings.max_tokens),
        prompt_settings=_prompt_settings(task, solution, packages, limits, added), packages=packages,
        exec_limit_s=limits.wall_s, baseline=bool(task.start), confirm_refit=wish.confirm_refit,
        jobs=Jobs(
            lambda: make_sandbox(task.public), folder.root / "job.json", settings.checkpoint_mb * 2**20
        ),
        installer=Installer(
            folder.packages, wheelhouse_of(task, options), home, wish.confirm_install, wish.emit
        ),
    )  # fmt: skip
    return Solver(parts, session, steps)


def share_gpu(sandbox: Sandbox, policy: Policy, settings: Settings) -> None:
    """A program that may use the GPU holds the lease; a model that can make room then does, as set."""
    from ..sandbox.base import RunnerSandbox
    from ..sandbox.gpu import Lease, Parkable

    if isinstance(sandbox, RunnerSandbox) and sandbox.gpu is not None:
        sandbox.gpu = Lease(settings.gpu_share, policy if isinstance(policy, Parkable) else None)


def executor_of(task: Task, sandbox: Sandbox, workspace: Workspace, settings: Settings) -> Executor:
    """What runs programs in `sandbox` and scores what they leave, as the task's kind asks."""
    executor = Executor(
        sandbox,
        workspace,
        AstAnnotator(),
        limits_of(settings),
        settings.checkpoint_mb * 2**20,
        lambda text: redact(text).text,
    )
    if task.kind == "eval":
        executor.scorer = Command(task, workspace, executor.evaluate, executor.limits)
    elif task.private is not None:
        executor.scorer = HeldOut(task.private, task.verified)
    else:
        executor.scorer = Claimed(task)
    return executor


def lay_out(task: Task, workspace: Workspace, fresh: bool) -> str:
    """The script that a write runs at once; a project's own code is copied into the workspace first."""
    if fresh:
        for item in task.inputs:
            path = task.public / item.path
            if item.role == "code" and path.is_file() and path.stat().st_size <= SMALL_CODE:
                workspace.write(item.path, path.read_bytes())
    if not task.start:
        return "solution.py"
    if not task.start.endswith(".ipynb"):
        return task.start
    name = Path(task.start).with_suffix(".py").name
    if fresh:
        workspace.write(name, notebook_code(task.public / task.start).encode())
    return name


def notebook_code(path: Path) -> str:
    """The code cells of a notebook as one script; shell and magic lines become comments."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"--start {path.name}: not a readable notebook ({error})") from None
    lines = "\n\n".join(sources).splitlines()
    return "\n".join(f"# {line}" if line.lstrip().startswith(("!", "%")) else line for line in lines) + "\n"


def trial_of(
    task: Task, settings: Settings, sandbox: Sandbox, make_sandbox: Callable[[Path], Sandbox]
) -> Trial | None:
    """Trial runs on a sample, where the tables are large."""
    from ..task.sample import is_large, sample_public

    if not is_large(task, settings.sample_first_mb):
        return None

    def make() -> Sandbox:
        small = make_sandbox(sample_public(task, data_home()))
        if isinstance(spec := getattr(small, "spec", None), SandboxSpec):
            env = (*spec.env, ("MLEAGENT_SAMPLE", "1"))
            small.spec = spec.model_copy(update={"env": env})  # type: ignore[attr-defined]
        return small

    return Trial(make)


def packages_of(sandbox: Sandbox) -> tuple[Path, ...]:
    """The package folders a sandbox was made with."""
    spec = getattr(sandbox, "spec", None)
    return spec.packages if isinstance(spec, SandboxSpec) else ()


def wheelhouse_of(task: Task, options: TaskOptions) -> Path | None:
    """`[env] wheelhouse` as a path."""
    named = options.env.wheelhouse
    return task.folder / user_path(named) if named else None


def _prompt_settings(
    task: Task, solution: str, packages: tuple[str, ...], limits: Limits, added: tuple[str, ...] = ()
) -> dict[str, str]:
    wanted = (
        "numpy",
        "pandas",
        "scikit-learn",
        "scipy",
        "lightgbm",
        "xgboost",
        "catboost",
        "torch",
        "polars",
        "pillow",
    )
    names = {package.partition("==")[0].lower(): package for package in packages}
    asked_for = [line.partition("==")[0].lower() for line in added]
    listed = [
        names[name].replace("==", " ") for name in dict.fromkeys((*wanted, *asked_for)) if name in names
    ]
    return {
        "solution": solution,
        "packages": ", ".join(listed) or "the standard library only",
        "exec_limit": f"{limits.wall_s / 60:.0f} minutes"
        if limits.wall_s >= 120
        else f"{limits.wall_s:.0f} seconds",
        "cpus": str(math.ceil(limits.cpus)),
        "metric": task.metric.name if task.metric else "score",
    }
