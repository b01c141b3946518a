"""Steps run by a process that has imported everything: real processes, and a step that shows what it does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from avbalance import warm

T = TypeVar("T")
SOURCES = str(Path(warm.__file__).parents[1])
STEP = """
import json, os, sys, time
from pathlib import Path

with Path("imports.txt").open("a") as file:
    file.write("once\\n")

def main():
    what, *rest = sys.argv[1:]
    Path("started").write_text(str(os.getpid()))
    if what == "tell":
        print(json.dumps([rest, os.getcwd(), os.environ["HERE"], sys.stdin.read()]))
        print("an error", file=sys.stderr)
    if what == "exit":
        sys.exit(int(rest[0]))
    if what == "refuse":
        sys.exit("error: no")
    if what == "fail":
        raise ZeroDivisionError
    if what == "wait":
        time.sleep(60)
"""
SERVER = """
import os, sys
from avbalance import warm
warm.start(sys.argv[1:])
print(os.environ[warm.ADDRESS], flush=True)
sys.stdin.read()
"""
CLIENT = "import sys; from avbalance import warm; warm.run(['step', *sys.argv[1:]]); print('nobody')"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child can outlive its server here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "step.py").write_text(STEP, encoding="utf-8")
    return tmp_path


class Workflow:
    """A process that starts a server, and clients."""

    def __init__(self, folder: Path, *modules: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": f"{SOURCES}:{folder}", "HERE": "there"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *modules],
            cwd=folder, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        assert self.process.stdout is not None
        self.environment[warm.ADDRESS] = self.process.stdout.readline().strip()

    def client(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CLIENT, *arguments],
            cwd=self.folder, env={**self.environment, **more}, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a step."""
        client = self.client(*arguments, **more)
        output, errors = client.communicate("some input", timeout=60)
        return client.returncode, output, errors

    def waiting(self) -> tuple[subprocess.Popen[str], int]:
        """A client whose step waits, and the step's process number."""
        client = self.client("wait")
        return client, int(eventually(lambda: (self.folder / "started").read_text(encoding="utf-8")))


def eventually(look: Callable[[], T], seconds: float = 30) -> T:
    """What `look` gives once it is something."""
    end = time.monotonic() + seconds
    while True:
        try:
            if result := look():
                return result
        except OSError:
            pass
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """True if a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def workflow(folder: Path) -> Iterator[Workflow]:
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background commands ignore it
    made = Workflow(folder, "step")
    yield made
    made.process.kill()
    made.process.communicate()
    signal.signal(signal.SIGINT, inherited)


def server_of(step: int) -> int:
    return int(Path(f"/proc/{step}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])


def test_a_step_has_the_arguments_folder_environment_and_files_of_its_client(workflow: Workflow) -> None:
    code, output, errors = workflow.ask("tell", "a b", "c", HERE="here")
    assert (code, errors) == (0, "an error\n")
    assert json.loads(output) == [["a b", "c"], str(workflow.folder), "here", "some input"]


def test_the_exit_code_is_that_of_the_step(workflow: Workflow) -> None:
    assert workflow.ask("exit", "7")[0] == 7
    assert workflow.ask("refuse") == (1, "", "error: no\n")
    code, _, errors = workflow.ask("fail")
    assert code == 1
    assert errors.rstrip().endswith("ZeroDivisionError")


def test_imports_are_paid_once(workflow: Workflow) -> None:
    for _ in range(3):
        assert workflow.ask("exit", "0")[0] == 0
    assert (workflow.folder / "imports.txt").read_text(encoding="utf-8") == "once\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_step(workflow: Workflow, number: signal.Signals) -> None:
    client, step = workflow.waiting()
    client.send_signal(number)
    assert client.wait(timeout=30) in (-number, 1)  # Python turns SIGINT into an exception
    assert is_gone(step)


def test_a_killed_client_takes_its_step_along(workflow: Workflow) -> None:
    client, step = workflow.waiting()
    client.kill()
    eventually(lambda: is_gone(step))
    assert workflow.ask("exit", "0")[0] == 0


@pytest.mark.parametrize("sent", [1.0, 0.5, 0.0])
def test_a_client_that_leaves_before_the_answer_harms_nobody(workflow: Workflow, sent: float) -> None:
    content = json.dumps({"argv": ["step", "wait"], "cwd": str(workflow.folder), "env": {}}).encode()
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(workflow.environment[warm.ADDRESS])
            socket.send_fds(client, [warm.NUMBER.pack(len(content))[: int(8 * sent) or 3]], [0, 1, 2])
            client.sendall(content[: int(len(content) * sent)])
    assert workflow.ask("exit", "7")[0] == 7


def test_a_killed_server_takes_its_steps_along(workflow: Workflow) -> None:
    client, step = workflow.waiting()
    os.kill(server_of(step), signal.SIGKILL)
    _, errors = client.communicate(timeout=30)
    assert client.returncode == 1
    assert errors.startswith("error: the process that ran this step was killed")
    eventually(lambda: is_gone(step))
    assert workflow.ask("exit", "0")[1] == "nobody\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_workflow(workflow: Workflow, number: signal.Signals) -> None:
    client, step = workflow.waiting()
    server = server_of(step)
    workflow.process.send_signal(number)
    workflow.process.wait(timeout=30)
    eventually(lambda: is_gone(step) and is_gone(server) and client.poll() is not None)
    eventually(lambda: not Path(workflow.environment[warm.ADDRESS]).parent.exists())


def test_two_workflows_share_no_server(workflow: Workflow, folder: Path) -> None:
    other = Workflow(folder, "step")
    assert other.environment[warm.ADDRESS] != workflow.environment[warm.ADDRESS]
    assert Path(other.environment[warm.ADDRESS]).parent.stat().st_mode & 0o777 == 0o700
    other.process.kill()
    other.process.communicate()


def test_without_a_server_the_caller_runs_the_step(workflow: Workflow) -> None:
    workflow.environment[warm.ADDRESS] = str(workflow.folder / "nothing")
    assert workflow.ask("exit", "0")[1] == "nobody\n"


def test_a_server_with_a_second_thread_serves_nobody(folder: Path) -> None:
    (folder / "threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
        encoding="utf-8",
    )
    threaded = Workflow(folder, "threads")
    assert threaded.ask("exit", "0")[1] == "nobody\n"
    threaded.process.kill()
    threaded.process.communicate()


def test_all_that_a_workflow_imports_leaves_one_thread() -> None:
    # The child of a process with more threads than one may find a lock that nobody will ever open.
    count = (
        "import os, sys; from importlib import import_module; list(map(import_module, sys.argv[1:]));"
        "print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", count, *warm.MODULES],
        env={**os.environ, **warm.ONE_THREAD}, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout == "1\n"
