"""The build, run as Lambda runs it: its variables and paths, a read-only file system, 512 MB of /tmp."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

from tests.built.artifacts import LAMBDA, LAYERS, folder_of, functions
from tests.local.aws import REGION
from tests.local.environment import ProcessEnvironment
from tests.local.runner import Runner
from tests.local.stack import LocalStack
from tests.local.template import ROOT, Template

_HERE = Path(__file__).parent
# The bootstrap imports it by this path.
_CONTEXT = Path("tests", "support", "lambda_context.py")
# Lambda sets more variables. Powertools, botocore or Python reads these.
VARIABLES = LAMBDA | {
    # ApplicationLogLevel gives this value. Powertools' Logger prefers it to its own variable.
    "AWS_LAMBDA_LOG_LEVEL": "INFO",
    "AWS_LAMBDA_LOG_FORMAT": "JSON",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "PYTHONPATH": "/var/runtime",
    "_HANDLER": "app.lambda_handler",
}


class Sandbox:
    """A context manager. It starts programs in the place of a function."""

    def __init__(self, python: str) -> None:
        self._python = python
        self._running = ExitStack()

    def __enter__(self) -> Sandbox:
        # Lambda unpacks all layers into one folder.
        self._folder = Path(self._running.enter_context(tempfile.TemporaryDirectory()))
        for layer in LAYERS:
            shutil.copytree(layer, self._folder / "opt", dirs_exist_ok=True)
        runtime = self._folder / "runtime"
        (runtime / _CONTEXT.parent).mkdir(parents=True)
        # The runtime has no other module of the tests.
        shutil.copy(ROOT / _CONTEXT, runtime / _CONTEXT)
        for name in ("bootstrap.py", "sandbox.sh"):
            shutil.copy(_HERE / name, runtime)
        answer = subprocess.run(
            [self._python, "-I", "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
        )
        self._prefix = answer.stdout.strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def command(self, task: Path, variables: Mapping[str, str], *program: str) -> list[str]:
        """Return the command to run the runtime's Python with ``program``; ``task`` becomes /var/task."""
        root = self._running.enter_context(tempfile.TemporaryDirectory())
        places = [root, self._prefix, str(task), str(self._folder / "opt")]
        given = [f"{name}={value}" for name, value in (VARIABLES | dict(variables)).items()]
        unshare = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
        script = str(self._folder / "runtime" / "sandbox.sh")
        return [*unshare, script, *places, *given, "--", self._python, *program]


class _Process:
    """An execution environment of one function."""

    def __init__(self, command: list[str], log: TextIO) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        self._one_at_a_time = Lock()

    def ask(self, event: Any, seconds: float) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps([event, seconds]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, f"the function ended with {self._process.wait(10)}"
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class SandboxRunner(Runner):
    """Runs each function of a stack in a process of its own, as it was built."""

    def __init__(self, sandbox: Sandbox, template: Template, log: TextIO) -> None:
        super().__init__(template)
        self._processes = {name: self._start(sandbox, function, log) for name, function in self.functions.items()}

    @staticmethod
    def _start(sandbox: Sandbox, function: Any, log: TextIO) -> _Process:
        variables = {name: str(value) for name, value in function.environment["Variables"].items()}
        region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        own = {"AWS_LAMBDA_FUNCTION_NAME": function.name, **region, **variables}
        return _Process(sandbox.command(folder_of(functions()[function.name]), own, "/var/runtime/bootstrap.py"), log)

    def close(self) -> None:
        """End all processes."""
        for process in self._processes.values():
            process.end()

    def run(self, name: str, event: str) -> str:
        """Hand the event to the function. Event and answer are JSON, as on the wire."""
        return self._processes[name].ask(json.loads(event), float(self.functions[name].timeout or 3))


class SandboxStack(LocalStack):
    """The whole product on this machine, with the functions in sandboxes. ``log`` must be a real file."""

    def __init__(self, sandbox: Sandbox, log: TextIO, **parameters: str) -> None:
        super().__init__(log=log, parameters=parameters)
        self._sandbox = sandbox

    def _make_runner(self, environment: ProcessEnvironment) -> Runner:
        return SandboxRunner(self._sandbox, self.template, self.log)
