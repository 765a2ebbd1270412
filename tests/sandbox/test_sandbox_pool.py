"""The verified reset, and the pool that lends sandboxes out one user at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from boxes import LIMITS, python

from mleagent.errors import MleagentError, SandboxLostError, UnavailableError
from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.sandbox.choose import make
from mleagent.sandbox.machine_budget import MachineBudget
from mleagent.sandbox.pool import Pool

PLENTY = MachineBudget(cpus=4.0, memory_mb=16_000)
DIRTY = """
mkdir -p a/b && echo x > a/b/c && chmod 000 a && rm -f train.csv && ln -s /etc train.csv && mkfifo pipe
mkdir -p /tmp/deep && chmod 000 /tmp/deep; echo x > /dev/shm/x; chmod 777 .; (setsid sleep 300 &) ; true
"""
LOOK = "ls -A . /tmp /dev/shm; stat -c %a ."


@pytest.fixture
def spec(public: Path) -> SandboxSpec:
    return SandboxSpec(session_id="pool", task_name="toy", public=public, limits=LIMITS)


@pytest.fixture
def pools(kind: str) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def new(size: int = 2, budget: MachineBudget = PLENTY, **more: float) -> Pool:
        made.append(Pool(partial(make, kind.split("-")[0]), size, budget, **more))
        return made[-1]

    yield new
    for pool in made:
        pool.close()


# --- reset --------------------------------------------------------------------


def test_a_reset_sandbox_is_as_a_new_one(isolated: Sandbox) -> None:
    isolated.reset()
    fresh = isolated.run(LOOK).output
    assert isolated.run(DIRTY).status == "ok"
    isolated.put({"mine.txt": b"kept by nobody"})
    isolated.reset()
    assert isolated.run(LOOK).output == fresh
    assert isolated.pull(10**6) == {} and isolated.removed == () and isolated.skipped == ()
    assert "sleep" not in isolated.run("cat /proc/[0-9]*/cmdline").output.replace("\0", " ").split("cat")[0]
    assert isolated.run("cat train.csv").output.startswith("id,y")


@pytest.mark.parametrize(
    "attack",
    [
        "os.setpriority(os.PRIO_PROCESS, runner, os.getpriority(os.PRIO_PROCESS, runner) + 1)",
        "os.sched_setscheduler(runner, os.SCHED_BATCH, os.sched_param(0))",
        "resource.prlimit(runner, resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))",
        "os.sched_setaffinity(runner, {min(os.sched_getaffinity(0))})",
        "os.setxattr('.', 'user.note', b'for the next')",
    ],
)
def test_what_a_program_changed_for_good_is_not_used_again(kind: str, public: Path, attack: str) -> None:
    """Where the kernel and the system call filter let a program do this, the reset sees it."""
    if "affinity" in attack and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor to choose from")
    if kind == "none":
        pytest.skip("no isolation is promised")
    box = make(kind.split("-")[0], SandboxSpec(session_id="p", task_name="toy", public=public, limits=LIMITS))
    box.start()
    try:
        result = python(
            box,
            f"""
            import os, resource
            for entry in os.listdir("/proc"):
                if entry.isdigit() and int(entry) not in (os.getpid(), os.getppid()):
                    runner = int(entry)
                    try:
                        {attack}
                        print("lowered", runner)
                    except OSError as error:
                        print(error)
            """,
        )
        if "lowered" not in result.output:
            box.reset()
            assert box.run("echo well").output == "well\n"
            return
        with pytest.raises(SandboxLostError, match="reset failed"):
            box.reset()
        with pytest.raises(SandboxLostError):
            box.run("true")
    finally:
        box.close()


# --- the pool -----------------------------------------------------------------


def test_a_sandbox_is_lent_again_clean(pools: Callable[..., Pool], spec: SandboxSpec) -> None:
    pool = pools()
    with pool.lease(spec) as box:
        assert box.run("echo secret > mine; echo secret > $TMPDIR/mine").status == "ok"
        first = box
    with pool.lease(spec.model_copy(update={"session_id": "another"})) as box:
        assert box is first
        assert box.run("cat mine $TMPDIR/mine").status == "error"
    assert (pool.stats.started, pool.stats.reused, pool.stats.failed_resets) == (1, 1, 0)


def test_another_folder_or_limit_gets_its_own(
    pools: Callable[..., Pool], spec: SandboxSpec, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "other.csv").write_text("here\n")
    pool = pools(size=2)
    for wanted in (
        spec,
        spec.model_copy(update={"public": tmp_path}),
        spec.model_copy(update={"limits": LIMITS.model_copy(update={"memory_mb": 400})}),
    ):
        with pool.lease(wanted) as box:
            assert (box.run("cat other.csv").status == "ok") == (wanted.public == tmp_path)
    assert (pool.stats.started, pool.stats.reused, pool.stats.idle) == (3, 0, 2)


def test_a_lost_sandbox_is_replaced_and_a_user_that_fails_leaks_nothing(
    pools: Callable[..., Pool], spec: SandboxSpec
) -> None:
    pool = pools(size=1)
    with pytest.raises(RuntimeError), pool.lease(spec) as box:
        raise RuntimeError("the user died")
    assert pool.stats.idle == 1 and pool.stats.leased == 0
    with pool.lease(spec) as box:
        box.close()
    assert pool.stats.failed_resets == 1 and pool.stats.idle == 0
    with pool.lease(spec, timeout_s=60) as box:
        assert box.run("echo well").output == "well\n"


def test_one_that_died_while_idle_is_replaced(pools: Callable[..., Pool], spec: SandboxSpec) -> None:
    pool = pools(size=1)
    with pool.lease(spec) as box:
        pass
    box.close()
    time.sleep(1.1)
    with pool.lease(spec) as other:
        assert other is not box and other.run("true").status == "ok"


def test_users_wait_their_turn_and_never_share(pools: Callable[..., Pool], spec: SandboxSpec) -> None:
    pool, order, problems = pools(size=2), [], []
    served = threading.Lock()

    def user(number: int) -> None:
        try:
            with pool.lease(spec) as box:
                with served:
                    order.append(number)
                    if pool.stats.leased > 2:
                        problems.append("more than two at once")
                box.put({f"{number}.txt": b""})
                if box.run("ls *.txt").output != f"{number}.txt\n":
                    problems.append("shared")
        except MleagentError as error:
            problems.append(str(error))

    threads = [threading.Thread(target=user, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)  # so that they queue in this order
    for thread in threads:
        thread.join(60)
    assert not problems
    assert sorted(order) == list(range(8)) and order.index(7) >= 5, "first come, first served"
    assert pool.stats.started <= 2 and pool.stats.leased == 0


def test_memory_bounds_how_many_there_are_but_one_may_always_be(
    pools: Callable[..., Pool], spec: SandboxSpec
) -> None:
    pool = pools(size=4, budget=MachineBudget(cpus=2.0, memory_mb=700))
    with (
        pool.lease(spec),
        pytest.raises(UnavailableError, match=r"within 0\.2 s"),
        pool.lease(spec, timeout_s=0.2),
    ):
        pass
    tiny = pools(size=4, budget=MachineBudget(cpus=2.0, memory_mb=1))
    with tiny.lease(spec) as box:
        assert box.run("true").status == "ok"
    stop = threading.Event()
    stop.set()
    with pool.lease(spec), pytest.raises(UnavailableError, match="stopped"), pool.lease(spec, stop):
        pass


def test_processors_are_shared_out(pools: Callable[..., Pool], spec: SandboxSpec) -> None:
    pool = pools(size=2, budget=MachineBudget(cpus=1.5, memory_mb=8000))
    with pool.lease(spec) as box:
        assert box.spec.limits.cpus == 0.75  # type: ignore[attr-defined]
        assert box.run("echo $OMP_NUM_THREADS").output == "1\n"


def test_made_ahead_ended_when_idle_and_at_close(pools: Callable[..., Pool], spec: SandboxSpec) -> None:
    pool = pools(size=2, idle_s=4.0)
    assert pool.prepare(spec, 3) == 2 and pool.stats.idle == 2
    with pool.lease(spec):
        assert pool.stats.reused == 1
    deadline = time.monotonic() + 20
    while pool.stats.idle and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pool.stats.idle == 0
    with pool.lease(spec) as box:
        pool.close()
        with pytest.raises(SandboxLostError):
            box.run("true")
    assert pool.stats.leased == pool.stats.idle == 0
    with pytest.raises(UnavailableError, match="closed"), pool.lease(spec):
        pass


def test_closing_ends_a_run_that_goes_on(pools: Callable[..., Pool], spec: SandboxSpec) -> None:
    pool, results, began = pools(size=1), [], threading.Event()

    def user() -> None:
        with pool.lease(spec) as box:
            results.append(box.run("echo on; sleep 50", on_output=lambda _text: began.set()).status)

    thread = threading.Thread(target=user)
    thread.start()
    assert began.wait(30)
    pool.close()
    thread.join(20)
    assert results == ["lost"] and pool.stats.leased == 0
