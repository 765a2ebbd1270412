# ruff: noqa: E501 - a program a line is what can be read
"""Programs that must do the same in a fork of the warm interpreter as in a fresh one: name and source.

`HELPERS` lie beside each of them. Numbers that differ from run to run (pids, times,
addresses) are printed as `<...>` by the test, see `normal`.
"""

from __future__ import annotations

HELPERS = {
    "helper.py": "VALUE = 41\n\ndef answer():\n    return VALUE + 1\n\nif __name__ == '__main__':\n    print('never')\n",
    "package/__init__.py": "from .inner import name\n",
    "package/inner.py": "from . import other\nname = __name__ + ':' + other.__name__\n",
    "package/other.py": "",
    "broken.py": "x = 1\ny = x +\n",
    "raising.py": "def fail():\n    raise ValueError('from a module')\n",
}

PROGRAMS = {
    "empty": "",
    "hello": "print('hello')",
    "main_names": """
print({k: (v if k != '__loader__' else type(v).__name__) for k, v in globals().items() if k != '__builtins__'})
print(type(__builtins__), __name__ == '__main__', __spec__, __doc__)
""",
    "docstring": "'''What I do.'''\nprint(__doc__)",
    "argv_and_path": "import sys\nprint(sys.argv, sys.path, sys.executable, sys.prefix, sys.flags)",
    "environment": "import os\nprint(sorted(os.environ.items()))\nprint(os.getcwd(), sorted(os.listdir('.')))",
    "environment_after_sklearn": """
import os, sklearn.cluster
print(sorted(k for k in os.environ if not k.startswith('KMP')))
""",
    "environment_set": "import os, subprocess\nos.environ['MY_VAR'] = 'x'\nprint(subprocess.run(['sh', '-c', 'echo $MY_VAR'], capture_output=True, text=True).stdout)",
    "threads_set_first": """
import os
os.environ['OMP_NUM_THREADS'] = '1'
os.environ['OPENBLAS_NUM_THREADS'] = '1'
import numpy, threadpoolctl
print([(i['internal_api'], i['num_threads']) for i in threadpoolctl.threadpool_info()])
""",
    "threads_default": """
import numpy, threadpoolctl
print({(i['internal_api'], i['num_threads']) for i in threadpoolctl.threadpool_info() if i['internal_api'] == 'openblas'})
""",
    "imports_beside": "import helper, package\nprint(helper.answer(), package.name, helper.__file__, package.__path__)",
    "relative_import_fails": "from . import helper",
    "import_shadows": "import pathlib\npathlib.Path('json.py').write_text('mine = 1')\nimport importlib\nprint('written')",
    "import_broken": "import broken",
    "import_missing": "import no_such_thing",
    "import_missing_part": "import numpy.no_such_part",
    "import_raising": "import raising\nraising.fail()",
    "import_after_chdir": "import os\nos.mkdir('d')\nopen('d/late.py', 'w').write('z = 3')\nos.chdir('d')\ntry:\n    import late\nexcept ImportError as e:\n    print(e)",
    "print_flush_order": "import sys\nprint('a'); sys.stderr.write('b\\n'); print('c', end=''); sys.stderr.write('d'); print('e')",
    "streams": """
import sys
for s in (sys.stdin, sys.stdout, sys.stderr):
    print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.isatty(), s.fileno(), s.newlines)
print(sys.stdout.write_through, sys.stdout.seekable(), sys.stdout is sys.__stdout__)
""",
    "input_eof": "try:\n    input('name? ')\nexcept EOFError as e:\n    print('EOF', e)",
    "stdin_read": "import sys\nprint(repr(sys.stdin.read()))",
    "exit_0": "import sys\nprint('x')\nsys.exit()",
    "exit_7": "import sys\nsys.exit(7)",
    "exit_negative": "import sys\nsys.exit(-1)",
    "exit_big": "raise SystemExit(2**40)",
    "exit_text": "import sys\nprint('before')\nsys.exit('something is wrong')",
    "exit_object": "raise SystemExit((1, 'two'))",
    "exit_true": "raise SystemExit(True)",
    "exit_in_function": "def f():\n    try:\n        raise SystemExit(3)\n    finally:\n        print('cleaned')\nf()",
    "exit_os": "import os\nprint('lost?', end='')\nos._exit(5)",
    "quit_builtin": "quit(4)",
    "uncaught": "def f(x):\n    return 1 / x\n\nprint('start')\nf(0)",
    "uncaught_chain": "try:\n    {}['a']\nexcept KeyError as e:\n    raise RuntimeError('second') from e",
    "uncaught_context": "try:\n    int('x')\nexcept ValueError:\n    [][1]",
    "uncaught_group": "raise ExceptionGroup('many', [ValueError(1), TypeError('t')])",
    "uncaught_note": "e = ValueError('v')\ne.add_note('look here')\nraise e",
    "uncaught_multiline": "x = [\n    1,\n    2 / 0,\n]",
    "syntax_error": "x = (1,\nprint('x'",
    "indentation_error": "if True:\nprint(1)",
    "unicode_source": "größe = 'naïve – ünïcode ✓'\nprint(größe)",
    "bad_encoding": b"print('\xff')\n",
    "latin1_cookie": b"# -*- coding: latin-1 -*-\nprint(ascii('\xe9'))\n",
    "byte_order_mark": b"\xef\xbb\xbfprint('bom')\n",
    "null_byte": b"print(1)\n\0\n",
    "future_annotations": "from __future__ import annotations\ndef f(x: Nope) -> Nope: ...\nprint(f.__annotations__)",
    "module_annotations": "x: int = 1\nprint(__annotations__)",
    "deep_recursion": "def f():\n    return f()\nf()",
    "recursion_depth": "import sys\ndef f(n):\n    try:\n        return f(n + 1)\n    except RecursionError:\n        return n\nprint(f(0), sys.getrecursionlimit())",
    "recursion_silent": """
def f(n):
    try:
        return f(n + 1)
    except Exception:
        return n
print(f(0))
""",
    "stack": "import inspect, traceback\nprint(len(inspect.stack()))\ntraceback.print_stack()",
    "own_hook": "import sys\nsys.excepthook = lambda t, v, tb: print('hook', t.__name__, v, tb.tb_lineno)\n1 / 0",
    "hook_that_fails": "import sys\ndef hook(*a):\n    raise KeyError('in hook')\nsys.excepthook = hook\n1 / 0",
    "warning": "import warnings\nfor _ in range(3):\n    warnings.warn('once a line')\nwarnings.warn('deprecated', DeprecationWarning)",
    "warning_level_2": "import warnings\ndef f():\n    warnings.warn('caller', UserWarning, stacklevel=2)\nf()\nf()",
    "warning_above_top": "import warnings\nwarnings.warn('above', UserWarning, stacklevel=2)",
    "atexit": "import atexit\natexit.register(print, 'second')\natexit.register(print, 'first')\nprint('body')",
    "atexit_fails": "import atexit\natexit.register(lambda: 1 / 0)\nprint('body')",
    "file_left_open": "f = open('out.txt', 'w')\nf.write('written at the end')",
    "file_left_open_in_module": "import helper\nhelper.f = open('out2.txt', 'w')\nhelper.f.write('kept by a module')",
    "file_in_a_cycle": "class A: pass\na = A()\na.me = a\na.f = open('out3.txt', 'w')\na.f.write('in a cycle')",
    "del_at_exit": "class A:\n    def __del__(self):\n        print('gone', self.n)\na = A(); a.n = 1\n_b = A(); _b.n = 2",
    "logging": "import logging\nlogging.basicConfig(level=20)\nlogging.info('info %d', 3)\nlogging.getLogger('x').warning('w')",
    "thread_outlives_main": "import threading, time\ndef work():\n    time.sleep(0.2)\n    print('thread done')\nthreading.Thread(target=work).start()\nprint('main done')",
    "daemon_thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True).start()\nprint('main done')",
    "thread_fails": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='worker')\nt.start(); t.join()\nprint(threading.current_thread().name, threading.active_count())",
    "thread_pool": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as p:\n    print(sum(p.map(lambda x: x * x, range(100))))",
    "process_pool": """
from concurrent.futures import ProcessPoolExecutor
def square(x):
    return x * x
if __name__ == '__main__':
    with ProcessPoolExecutor(2) as pool:
        print(sum(pool.map(square, range(20))))
""",
    "multiprocessing_spawn": """
import multiprocessing as mp
class Box:
    def __init__(self, n): self.n = n
def work(box, queue):
    queue.put((box.n * 2, __name__))
if __name__ == '__main__':
    context = mp.get_context('spawn')
    queue = context.Queue()
    process = context.Process(target=work, args=(Box(21), queue))
    process.start()
    print(queue.get()); process.join(); print(process.exitcode)
""",
    "multiprocessing_fork_fails": """
import multiprocessing as mp
def work():
    raise SystemExit(9)
if __name__ == '__main__':
    process = mp.get_context('fork').Process(target=work)
    process.start(); process.join(); print(process.exitcode, mp.current_process().name)
""",
    "os_fork": "import os\nprint('once')\npid = os.fork()\nif pid == 0:\n    print('child'); os._exit(3)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
    "fork_both_end": "import os, sys\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nprint('parent' if pid else 'child')",
    "subprocess_python": "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import sys; print(sys.argv, \"numpy\" in sys.modules)'], capture_output=True, text=True))",
    "subprocess_shell": "import os\nprint(os.system('echo from the shell; exit 3') >> 8)",
    "signal_term_self": "import os, signal\nprint('x')\nos.kill(os.getpid(), signal.SIGTERM)",
    "signal_int_self": "import os, signal\nprint('x')\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(1)",
    "signal_handlers": "import signal\nprint({s.name: str(signal.getsignal(s))[:30] for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ)}, signal.pthread_sigmask(signal.SIG_BLOCK, []))",
    "abort": "import os\nos.abort()",
    "segfault": "import ctypes\nprint('x')\nctypes.string_at(0)",
    "alarm": "import signal, time\nsignal.signal(signal.SIGALRM, lambda *a: print('alarm'))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(0.2)",
    "closed_stdout": "import sys\nprint('x')\nsys.stdout.close()",
    "redirected_stdout": "import sys, io\nsys.stdout = io.StringIO()\nprint('swallowed')\nsys.stderr.write('seen\\n')",
    "descriptors": "import os\nprint([fd for fd in range(3, 200) if os.path.exists(f'/dev/fd/{fd}')][1:])",
    "session": "import os\nprint(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.umask(0o22))",
    "limits": "import resource\nprint([(n, resource.getrlimit(getattr(resource, n))) for n in sorted(dir(resource)) if n.startswith('RLIMIT')])",
    "hash_of_text": "print(hash('text'), {'b', 'a', 'c'})",
    "seeded": "import random, numpy as np\nrandom.seed(1); np.random.seed(1)\nprint(random.random(), np.random.rand(3), np.random.default_rng(2).normal())",
    "unseeded": "import random, numpy as np\nprint(0 <= random.random() < 1, 0 <= np.random.rand() < 1)",
    "pickle_main_class": "import pickle\nclass A:\n    def __eq__(self, o): return True\nprint(pickle.loads(pickle.dumps(A())) == A(), A.__module__, A.__qualname__)",
    "import_main": "import __main__\nx = 5\nprint(__main__.x, __main__.__file__)",
    "exec_and_eval": "exec('y = 2')\nprint(eval('y + 1'), [k for k in locals() if not k.startswith('__')])",
    "dataclass_enum": "from dataclasses import dataclass\nfrom enum import Enum\n@dataclass\nclass P:\n    x: int\nclass C(Enum):\n    A = 1\nprint(P(1), C.A, repr(C))",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 4\nprint(asyncio.run(f()))",
    "script_as_main_guard": "def main():\n    return 3\nif __name__ == '__main__':\n    raise SystemExit(main())",
    "pandas": """
import pandas as pd
frame = pd.DataFrame({'a': [1, 2, None], 'b': ['x', 'y', 'x']})
print(frame.groupby('b').a.sum(), frame.dtypes, frame.describe(), sep='\\n')
frame.to_csv('frame.csv', index=False)
print(pd.read_csv('frame.csv'))
""",
    "pandas_parquet": "import pandas as pd\npd.DataFrame({'a': range(5)}).to_parquet('x.parquet')\nprint(pd.read_parquet('x.parquet').a.sum())",
    "numpy_linear_algebra": "import numpy as np\na = np.random.default_rng(0).normal(size=(400, 400))\nprint(np.round(np.linalg.svd(a @ a.T)[1][:3], 6))",
    "sklearn_pipeline": """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.model_selection import cross_val_score
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 6)); y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
print(cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), X, y, cv=4).round(6))
""",
    "sklearn_joblib": """
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score
X = np.random.default_rng(0).normal(size=(120, 4)); y = X[:, 0] ** 2
print(cross_val_score(RandomForestRegressor(10, random_state=0), X, y, cv=3, n_jobs=2).round(6))
""",
    "sklearn_openmp": """
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
X = np.random.default_rng(0).normal(size=(500, 5)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
print(HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X, y).score(X, y))
""",
    "sklearn_warning": """
import numpy as np
from sklearn.linear_model import LogisticRegression
X = np.random.default_rng(0).normal(size=(80, 5)); y = (X[:, 0] > 0).astype(int)
print(LogisticRegression(max_iter=1, C=1e6).fit(X, y).n_iter_)
""",
    "fork_after_openmp": """
import multiprocessing as mp, numpy as np
from sklearn.cluster import KMeans
X = np.random.default_rng(0).normal(size=(200, 3))
def work(queue):
    queue.put(float((X @ X.T).sum().round(6)))
if __name__ == '__main__':
    print(KMeans(3, n_init=2, random_state=0).fit(X).inertia_.round(6))
    queue = mp.get_context('fork').Queue()
    process = mp.get_context('fork').Process(target=work, args=(queue,)); process.start()
    print(queue.get()); process.join()
""",
    "matplotlib": "import matplotlib\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('plot.png', metadata={'Software': None})\nprint(matplotlib.get_backend(), plt.get_fignums())",
    "joblib_main_function": """
from joblib import Parallel, delayed
def f(x):
    return x + 1
print(Parallel(n_jobs=2)(delayed(f)(i) for i in range(6)))
""",
}
