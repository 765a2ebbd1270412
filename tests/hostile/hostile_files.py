# ruff: noqa: E501 - programs are data; most are one line an attempt
"""Programs after files: the host's, the labels, other sessions', the data; and traps laid in the work folder."""

from __future__ import annotations

import time

from hostile_kit import Program, Visit


def _nothing_came_out(*names: str):  # type: ignore[no-untyped-def]
    def check(visit: Visit) -> list[str]:
        found = [f"{name} came out" for name in names if name in visit.files]
        return found + [
            f"{name} is not named as left out" for name in names if f"{name}: " not in visit.skipped
        ]

    return check


def _put_follows_no_link(visit: Visit) -> list[str]:
    visit.box.put({"sub/x.txt": b"mine", "loot.txt": b"mine"})
    seen = visit.box.run("cat sub/x.txt loot.txt; test -L sub || test -L loot.txt || echo own; ls /tmp")
    return [] if seen.output == "minemineown\n" else [f"a link was followed: {seen.output!r}"]


def _pull_is_quick(visit: Visit) -> list[str]:
    began = time.monotonic()
    visit.box.pull(1 << 20)
    return [f"a pull took {time.monotonic() - began:.0f} s"] if time.monotonic() - began > 5 else []


def _odd_names(visit: Visit) -> list[str]:
    found = [f"{path!r} came out" for path in visit.files if path.startswith("/") or ".." in path.split("/")]
    shown = visit.skipped
    return found + (["a file name steers the terminal"] if "\x1b" in shown else [])


def _removed_is_back(visit: Visit) -> list[str]:
    seen = visit.box.run("cat input/sample_submission.csv")
    return [] if seen.output == "id,y\n4,0\n" else [f"the sample submission reads {seen.output!r}"]


def _scratch_is_empty(visit: Visit) -> list[str]:
    seen = visit.box.run(
        "find /tmp /dev/shm /var/tmp /run /dev/mqueue -newer prog.py ! -type d 2>/dev/null; true"
    ).output
    return [f"left behind: {seen}"] if "left" in seen else []


def _still_importable(visit: Visit) -> list[str]:
    names = [line.partition("==")[0] for line in visit.box.packages()]
    return [] if "numpy" in names else [f"packages: {names[:5]}"]


_HUNT = """
    for path in FACTS["hidden"]:
        tried("read " + path, lambda: open(path).read())
        tried("link to " + path, lambda: (os.symlink(path, "l"), open("l").read()))
        os.path.lexists("l") and os.unlink("l")
        for pid in others():
            tried(f"read by the root of {pid}", lambda: open(f"/proc/{pid}/root{path}").read())
            tried(f"read by the folder of {pid}", lambda: open(f"/proc/{pid}/cwd/..{path}").read())
"""

FILES = (
    Program("labels, other sessions, the user's files", _HUNT, safe=True),
    Program(
        "lists the user's folders",
        """
        for path in FACTS["folders"]: tried("list " + path, os.listdir, path)
        """,
        safe=True,
    ),
    Program(
        "writes to the user's folders",
        """
        for path in FACTS["folders"]: tried("write " + path, lambda: open(path + "/planted", "w"))
        for path in FACTS["hidden"]: tried("change " + path, lambda: open(path, "a").write("x"))
        """,
        safe=True,
    ),
    Program(
        "searches the whole file system",
        """
        for root, folders, names in os.walk("/"):
            folders[:] = [f for f in folders if root != "/" or f not in ("proc", "sys")]
            for name in names:
                if FACTS["token"] in name: print("ESCAPED found", root, name)
        """,
        wall_s=60,
    ),
    Program(
        "system secrets",
        """
        for path in ("/etc/shadow", "/etc/gshadow", "/etc/ssh", "/root/.ssh", "/root/.bash_history", "/var/lib/docker",
                     "/var/log/syslog", "/var/spool/cron/crontabs", "/etc/sudoers", "/boot", "/mnt", "/media"):
            def first():
                found = os.listdir(path) if os.path.isdir(path) else [open(path).read()]
                if not found: raise OSError("empty")
                return found
            tried(path, first)
        """,
    ),
    Program(
        "environments",
        """
        for pid in [p for p in os.listdir("/proc") if p.isdigit()] + ["self"]:
            try: print(open(f"/proc/{pid}/environ").read().replace("\\0", " "))
            except OSError: print("held", pid)
        print([k for k in os.environ if "KEY" in k or "MLEAGENT" in k])
        """,
        safe=True,
    ),
    Program(
        "memory of the runner",
        """
        for pid in others():
            for name in ("mem", "maps", "environ", "auxv", "syscall", "stack", "fd/0", "fd/1", "fd/3", "fdinfo/0", "map_files", "ns/pid", "exe"):
                tried(f"{pid} {name}", lambda: (os.listdir if name == "map_files" else os.readlink if name in ("ns/pid", "exe") else lambda p: open(p, "rb").read(1))(f"/proc/{pid}/{name}"))
            tried(f"{pid} write mem", lambda: open(f"/proc/{pid}/mem", "r+b"))
        """,
    ),
    Program(
        "kernel settings under /proc",
        """
        for path in ("sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe", "sys/vm/overcommit_memory",
                     "sys/kernel/sysrq", "sys/fs/binfmt_misc/register", "sysrq-trigger", "1/oom_score_adj", "irq/0/smp_affinity",
                     "sys/net/ipv4/ip_forward", "self/uid_map", "self/gid_map", "self/setgroups"):
            tried(path, lambda: os.write(os.open("/proc/" + path, os.O_WRONLY), b"1"))
        for path in ("kcore", "kmsg", "keys"):
            def content():
                found = open("/proc/" + path, "rb").read(16)
                if not found: raise OSError("covered")
                return found
            tried(path, content)
        """,
    ),
    Program(
        "oom score below the runner's",
        """
        tried("oom_score_adj", lambda: open("/proc/self/oom_score_adj", "w").write("-1000"))
        """,
        allowed=("ok",),
    ),
    Program(
        "devices",
        """
        for name in ("mem", "kmem", "port", "kmsg", "sda", "vda", "nvme0n1", "fuse", "kvm", "net/tun", "loop-control",
                     "mapper/control", "vsock", "uinput", "console", "tty", "ptmx_host", "vhost-net"):
            tried(name, os.open, "/dev/" + name, os.O_RDWR)
        """,
    ),
    Program(
        "device nodes",
        """
        import stat
        for what, mode, number in (("null", stat.S_IFCHR, (1, 3)), ("mem", stat.S_IFCHR, (1, 1)), ("disk", stat.S_IFBLK, (8, 0)), ("vda", stat.S_IFBLK, (254, 0))):
            for folder in (".", "/tmp", "/dev/shm", "/dev"):
                tried(f"{what} in {folder}", os.mknod, f"{folder}/{what}-node", mode | 0o666, os.makedev(*number))
        """,
    ),
    Program(
        "writes to the data",
        """
        base = "/kaggle/input/toy"
        base = base if os.path.isdir(base) else os.path.realpath("input")
        tried("open", lambda: open(base + "/train.csv", "w"))
        tried("append", lambda: open(base + "/train.csv", "a").write("x"))
        tried("unlink", os.unlink, base + "/train.csv")
        tried("rename", os.rename, base + "/train.csv", base + "/t")
        tried("rename out", os.rename, base + "/train.csv", "t")
        tried("hard link", os.link, base + "/train.csv", "t2")
        tried("create", lambda: open(base + "/new", "w"))
        tried("mkdir", os.mkdir, base + "/new")
        tried("chmod", os.chmod, base + "/train.csv", 0o600)
        tried("utime", os.utime, base + "/train.csv", (0, 0))
        tried("truncate", os.truncate, base + "/train.csv", 0)
        tried("xattr", os.setxattr, base + "/train.csv", "user.x", b"1")
        tried("symlink", os.symlink, "/", base + "/all")
        """,
        safe=True,
    ),
    Program(
        "tampers with the sample submission",
        """
        for name in ("sample_submission.csv", "train.csv"):
            if os.path.lexists(name): os.unlink(name)
            open(name, "w").write("id,y\\n4,1\\n")
        os.path.lexists("input") and os.unlink("input")
        os.mkdir("input"); open("input/sample_submission.csv", "w").write("forged")
        subprocess.run(["rm", "-rf", "input"])
        """,
        check=_removed_is_back,
    ),
    Program(
        "writes to the system and the libraries",
        """
        import numpy, json
        for path in (numpy.__file__, json.__file__, os.path.dirname(numpy.__file__) + "/../evil.pth", "/usr/lib/evil", "/etc/passwd",
                     "/etc/ld.so.preload", "/bin/sh", "/opt/mleagent/runner/loop.py", "/opt/mleagent/runner/evil.py", "/evil", "/kaggle/evil",
                     "/var/evil", "/run/evil", "/kaggle/input/evil", "/dev/evil", sys.executable):
            tried(path, lambda: open(path, "a"))
        """,
    ),
    Program(
        "symbolic links out of the work folder",
        """
        for number, path in enumerate([*FACTS["hidden"], "/etc/passwd", "/proc/self/environ", "/dev/zero", "/opt/mleagent/runner/loop.py"]):
            os.symlink(path, f"link{number}")
        os.symlink("/etc/passwd", "loot.txt"); os.symlink("/tmp", "sub"); os.symlink("..", "up")
        """,
        check=lambda v: [*_nothing_came_out("loot.txt", "sub", "up", "link3")(v), *_put_follows_no_link(v)],
    ),
    Program(
        "hard links out of the work folder",
        """
        for path in ("/etc/passwd", "/bin/sh", "/opt/mleagent/runner/loop.py", "/proc/self/environ", *FACTS["hidden"]):
            tried(path, os.link, path, "hard")
            tried(path + " followed", lambda: os.link(path, "hard", follow_symlinks=True))
        """,
    ),
    Program("submission is a link to the labels", "os.symlink(FACTS['hidden'][0], 'submission.csv')", check=_nothing_came_out("submission.csv")),
    Program("submission is a link to a device", "os.symlink('/dev/zero', 'submission.csv')", check=_nothing_came_out("submission.csv")),
    Program("submission is a pipe", "os.mkfifo('submission.csv')", check=lambda v: [*_nothing_came_out("submission.csv")(v), *_pull_is_quick(v)]),
    Program(
        "submission is a socket",
        "socket.socket(socket.AF_UNIX).bind('submission.csv')",
        check=_nothing_came_out("submission.csv"),
    ),
    Program(
        "submission is a folder",
        "os.makedirs('submission.csv/deeper'); open('submission.csv/deeper/x', 'w').write('x')",
        check=lambda v: ["submission.csv came out"] if "submission.csv" in v.files else [],
    ),
    Program(
        "names that steer, split and mislead",
        """
        for name in (b"new\\nline", b"\\x1b[2J\\x1b]0;x\\x07", b"-rf", b"--help", b"\\xff\\xfe", b"x" * 255, b" ", b"a\\\\b", b"..x", b"%s%n", b"\\xe2\\x80\\xaegpj"):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        os.mkdir(b"\\xff"); os.mkdir(b"dir\\n"); open(b"dir\\n/...", "w").write("x")
        """,
        check=_odd_names,
    ),
    Program(
        "locks the work folder and all in it",
        """
        open("closed", "w").write("x"); os.chmod("closed", 0)
        os.mkdir("shut"); open("shut/f", "w").write("x"); os.chmod("shut", 0)
        os.chmod(".", 0)
        """,
    ),
    Program(
        "a folder where its own script was",
        "os.unlink('prog.py'); os.makedirs('prog.py/ordinary.py'); os.path.exists('ordinary.py') and os.unlink('ordinary.py'); os.symlink('/etc', 'ordinary.py')",
    ),
    Program(
        "tries to move the work folder",
        """
        tried("rename", os.rename, "/kaggle/working", "/kaggle/elsewhere")
        tried("rmdir", os.rmdir, "/kaggle/working")
        tried("over it", os.symlink, "/etc", "/kaggle/working")
        """,
    ),
    Program(
        "leaves things for the next run",
        """
        for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/run/lock", "/dev/mqueue", os.path.expanduser("~"), os.path.expanduser("~/.config")):
            try:
                os.makedirs(folder, exist_ok=True); open(folder + "/left", "w").write("evil")
            except OSError as error: print("held", folder)
        for call, arguments in ((29, (1234, 4096, 0o1777)), (68, (1234, 0o1777)), (64, (1234, 1, 0o1777))):
            refused(f"System V {call}", libc.syscall(call, *arguments) if os.uname().machine == "x86_64" else -1)
        """,
        check=_scratch_is_empty,
    ),
    Program(
        "patches the libraries and hopes that it lasts",
        """
        import builtins, json, random, numpy, types
        builtins.print("patching")
        numpy.mean = lambda *a, **k: 42.0
        json.loads = lambda *a, **k: "evil"
        sys.modules["evil"] = types.ModuleType("evil"); sys.modules["csv"] = sys.modules["evil"]
        import sklearn.metrics
        sklearn.metrics.accuracy_score = lambda *a, **k: 1.0
        random.seed(0); os.environ["PYTHONPATH"] = "/tmp"; os.environ["LD_PRELOAD"] = "/tmp/evil.so"
        real = builtins.print
        builtins.print = lambda *a, **k: real("evil")
        real("end of program")
        """,
        ends=False,
    ),
    Program(
        "plants modules for the tool's own Python",
        """
        for name in ("sitecustomize", "usercustomize", "json", "importlib", "struct", "select"):
            open(name + ".py", "w").write("raise SystemExit('evil')")
        open("evil.pth", "w").write("import os; os._exit(3)")
        """,
        check=_still_importable,
    ),
)  # fmt: skip
