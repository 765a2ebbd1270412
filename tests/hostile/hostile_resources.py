# ruff: noqa: E501 - programs are data; most are one line an attempt
"""Programs that take too much: processes, memory, disk, time, output; or that won't go away."""

from __future__ import annotations

from hostile_kit import LIMITS, Program, Visit


def _number(visit: Visit) -> int:
    return int(next(line for line in visit.run.output.splitlines() if line.startswith("counted")).split()[1])


def _few_threads(visit: Visit) -> list[str]:
    count = _number(visit)
    return [f"{count} threads at once"] if count > LIMITS.pids + 16 else []


def _no_core(visit: Visit) -> list[str]:
    return [f"core dump {path}" for path in visit.files if path.startswith("core")]


def _sparse_left_out(visit: Visit) -> list[str]:
    if "submission.csv" in visit.files or "submission.csv: 2048" not in visit.skipped:
        return [f"a sparse submission of 2 GB: {visit.skipped!r}"]
    return []


def _many_files(visit: Visit) -> list[str]:
    return [] if len(visit.files) > 2000 else [f"only {len(visit.files)} of the files came out"]


RESOURCES = (
    Program(
        "fork bomb",
        """
        while True:
            try: os.fork()
            except OSError: pass
        """,
        ("timeout", "killed", "oom"), ends=False, wall_s=3,
    ),
    Program("fork bomb of a shell", "", ("timeout", "killed", "error"), ends=False, wall_s=3, command="b() { b | b & b; }; b"),
    Program(
        "thread bomb",
        """
        import threading
        lock, count = threading.Lock(), 0
        lock.acquire()
        try:
            while count < 5000:
                threading.Thread(target=lock.acquire, daemon=True).start(); count += 1
        except (RuntimeError, MemoryError): pass
        print("counted", count)
        """,
        ("ok", "killed", "error"), ends=False, check=lambda v: _few_threads(v) if "counted" in v.run.output else [],
    ),
    Program("memory bomb", "x = []\nwhile True: x.append(bytearray(1 << 20))", ("oom",), ends=False),
    Program(
        "memory bomb of many children",
        """
        for _ in range(20):
            if os.fork() == 0:
                x = bytearray(os.urandom(1 << 20) * 60); time.sleep(60)
        time.sleep(60)
        """,
        ("oom",), ends=False,
    ),
    Program(
        "memory bomb in shared mappings",
        """
        import mmap
        maps = []
        while True:
            maps.append(mmap.mmap(-1, 8 << 20)); maps[-1].write(b"x" * (8 << 20))
        """,
        ("oom",), ends=False,
    ),
    Program(
        "memory bomb in files without a name",
        """
        made = []
        try:
            for _ in range(200):
                made.append(os.memfd_create("x")); os.write(made[-1], b"x" * (8 << 20))
        except OSError as error: print("held", error)
        else: print("ESCAPED", len(made), "files of 8 MiB")
        """,
        ("oom", "ok"), ends=False,
    ),
    Program("disk filler", "f = open('big', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()", ("disk",), ends=False),
    Program("disk filler, /tmp", "f = open('/tmp/big', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()", ("disk",), ends=False),
    Program("disk filler, /dev/shm", "f = open('/dev/shm/big', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()", ("disk",), ends=False),
    Program(
        "disk filler without a name",
        """
        f = open('big', 'wb'); os.unlink('big')
        while True: f.write(bytes(1 << 20)); f.flush()
        """,
        ("disk",), ends=False,
    ),
    Program(
        "inode filler",
        "n = 0\nwhile True: os.close(os.open(f'f{n}', os.O_CREAT)); n += 1",
        ("disk", "oom", "timeout"), ends=False, wall_s=10,
    ),
    Program("sparse submission of 2 GB", "open('submission.csv', 'wb').truncate(2 << 30)", check=_sparse_left_out),
    Program("thousands of files", "for n in range(2500): open(f'f{n}', 'w').write('x')", check=_many_files),
    Program(
        "deep folder tree",
        "for _ in range(1500):\n os.mkdir('d'); os.chdir('d')\nopen('f', 'w').write('x')",
        ("ok", "disk"),
    ),
    Program("output flood", "for _ in range(100): sys.stdout.buffer.write(b'flood\\n' * 200_000)"),
    Program(
        "output flood of many",
        "for _ in range(5): os.fork()\nfor _ in range(100): os.write(1, b'x' * 60_000 + b'\\n')",
        ("ok", "timeout", "killed"), ends=False, wall_s=8,
    ),
    Program("a line of 40 MB", "sys.stdout.buffer.write(b'x' * 40_000_000)\nprint()"),
    Program(
        "endless loop deaf to signals",
        """
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: pass
        """,
        ("timeout",), ends=False, wall_s=2,
    ),
    Program(
        "daemon by double fork",
        """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 1024); os.execvp("sleep", ["sleep", FACTS["token"]])
            os._exit(0)
        os.wait()
        """,
    ),
    Program(
        "daemons in sessions of their own, deaf",
        """
        for _ in range(5):
            subprocess.Popen(["sh", "-c", "trap '' HUP TERM INT; sleep " + FACTS["token"]], start_new_session=True,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        """,
    ),
    Program(
        "forks faster than it can be killed",
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        end = time.monotonic() + 1.0
        while True:
            try:
                if os.fork(): os._exit(0)
            except OSError: pass
            if time.monotonic() > end: os.execvp("sleep", ["sleep", FACTS["token"]])
        """,
        ("ok", "timeout"), ends=False, wall_s=3,
    ),
    Program("zombies", "for _ in range(40):\n if os.fork() == 0: os._exit(0)\ntime.sleep(0.3)"),
    Program("stops itself", "os.kill(os.getpid(), signal.SIGSTOP)", ("timeout",), ends=False, wall_s=2),
    Program(
        "stops its children and leaves",
        "for _ in range(3):\n if os.fork() == 0:\n  os.kill(os.getpid(), signal.SIGSTOP); os.execvp('sleep', ['sleep', FACTS['token']])\ntime.sleep(0.3)",
    ),
    Program("kills its process group", "os.killpg(0, signal.SIGKILL)", ("killed",), ends=False),
    Program("closes every descriptor and stays", "os.closerange(0, 4096)\ntime.sleep(60)", ("timeout",), ends=False, wall_s=2),
    Program("opens files until none are left", "x = []\nwhile True: x.append(open('/dev/null'))", ("error",), ends=False),
    Program(
        "core dump",
        """
        import resource
        tried("raise the core limit", resource.setrlimit, resource.RLIMIT_CORE, (1 << 30, 1 << 30))
        os.abort()
        """,
        ("error",), ends=False, check=_no_core,
    ),
    Program("stack overflow", "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f([x]) + 1\nctypes.string_at(0)", ("error",), ends=False),
    Program(
        "arguments and environment without end",
        """
        tried("argv of 8 MB", subprocess.run, ["true", *["x" * 100_000] * 80])
        tried("environment of 8 MB", lambda: subprocess.run(["true"], env={f"V{i}": "x" * 100_000 for i in range(80)}))
        """,
    ),
    Program("pipes and sockets stuffed", """
        kept = []
        try:
            while True:
                a, b = socket.socketpair(); a.setblocking(False); kept.append((a, b))
                a.send(b"x" * 100_000)
        except OSError: pass
        print("counted", len(kept))
        """, ("ok", "oom")),
)  # fmt: skip
