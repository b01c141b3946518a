"""A process that has imported everything and forks a child for each step, so that a workflow pays for imports once.

`start` starts it beside a workflow, and it ends with the workflow. `run` has it run a step with this process's
arguments, working folder, environment and standard files; the exit code or signal of the step becomes that of this
process. Where nobody answers, as on another machine, the caller runs the step itself. A client imports little: this
module imports no other of the package, and functions of the server import what they alone need.

    client -> server   the request's length and the standard files, then {"argv", "cwd", "env"} as JSON
    server -> client   the child's process number, then its wait status

A step ends with its client, whose connection closes; with the server, by the parent-death signal; and with the
workflow, whose pipe to the server closes.
"""

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import subprocess

ADDRESS = "AVBALANCE_WARM"
"""The variable that holds the path of the socket."""
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # of pyarrow, which pandas imports where it is installed
}
"""Variables of the server: a fork keeps one thread and loses all others."""
STEPS = (
    *("train", "tune", "combine", "blend", "probe"),
    *(f"prepare.{step}" for step in ("download", "select_clips", "make_shards", "pack", "media", "audit")),
    *(f"results.{step}" for step in ("tables", "figures", "page")),
)
"""Steps of the workflow, which its rules run."""
MODULES = (
    *(f"avbalance.{step}" for step in STEPS),
    *("torch._dynamo", "scipy.stats", "matplotlib.pyplot", "matplotlib.backends.backend_svg"),
)
"""Modules that the server of a workflow imports: the steps, and modules that they import late."""
FEW = 3
"""Number of jobs up to which a workflow starts no server: its imports cost as much as those of three steps."""
NUMBER = struct.Struct("!q")
PR_SET_PDEATHSIG = 1


def start(modules: Iterable[str]) -> None:
    """Start the server, which imports the modules at once and ends when this process does."""
    import atexit
    import subprocess
    import tempfile

    if sys.platform != "linux":
        return  # a child could outlive its server
    folder = tempfile.mkdtemp(prefix="avbalance-")  # open to this user alone
    os.environ[ADDRESS] = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.environ[ADDRESS])
        listening.listen(socket.SOMAXCONN)
        server = subprocess.Popen(
            [sys.executable, "-m", "avbalance.warm", folder, str(listening.fileno()), *modules],
            stdin=subprocess.PIPE,  # never written; it closes with this process
            stdout=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches the clients, which pass it on
        )
    atexit.register(_stop, server, folder)


def _stop(server: "subprocess.Popen[bytes]", folder: str) -> None:
    """End the server, which may still be importing, and remove its folder."""
    import shutil

    server.kill()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)


def run(argv: list[str]) -> None:
    """Have the server run a step `[module, *arguments]` and end as it ends; return where nobody answers."""
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(os.environ.get(ADDRESS, ""))
        except OSError:
            return
        request = json.dumps({"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ)}, allow_nan=False).encode()
        with suppress(BrokenPipeError):
            socket.send_fds(server, [NUMBER.pack(len(request))], [0, 1, 2])
            server.sendall(request)
        child = _receive(server)
        if child is None:  # the server failed before it forked
            return

        def forward(number: int, frame: FrameType | None) -> None:
            with suppress(ProcessLookupError):  # the step has just ended
                os.kill(child, number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # a shell's background commands ignore Ctrl-C
                signal.signal(number, forward)
        status = _receive(server)
    if status is None:
        sys.exit("error: the process that ran this step was killed; run the same command to go on")
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.waitstatus_to_exitcode(status))


def _receive(connection: socket.socket) -> int | None:
    """The next number; None where the connection was closed."""
    with suppress(ConnectionResetError):
        received = connection.recv(NUMBER.size, socket.MSG_WAITALL)
        if len(received) == NUMBER.size:
            return int(NUMBER.unpack(received)[0])
    return None


def serve(listening: socket.socket) -> list[str]:
    """Fork a child for every request; return in each child with its arguments, and never in this process."""
    import select

    awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    children: dict[socket.socket, int] = {}
    while True:
        ready, _, _ = select.select([sys.stdin, awake, listening, *children], [], [])
        for client in children if sys.stdin in ready else children.keys() & set(ready):
            os.kill(children[client], signal.SIGKILL)  # the workflow or the client has ended
        if sys.stdin in ready:
            sys.exit()
        if awake in ready:
            os.read(awake, 4096)
            for client in list(children):
                ended, status = os.waitpid(children[client], os.WNOHANG)
                if ended:
                    with suppress(BrokenPipeError):
                        client.send(NUMBER.pack(status))
                    client.close()
                    del children[client]
        if listening in ready:
            client, request, files = _accept(listening)
            if request is not None:
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for unused in (awake, wake, *(each.detach() for each in (listening, client, *children))):
                        os.close(unused)
                    return _become(request["argv"], request["cwd"], request["env"], files)
                children[client] = child
                with suppress(BrokenPipeError):  # the client was killed; its connection says so in the next round
                    client.send(NUMBER.pack(child))
            for file in files:
                os.close(file)


def _accept(listening: socket.socket) -> tuple[socket.socket, dict[str, Any] | None, list[int]]:
    """Connection, request and files of the next client; no request if the client was killed before it had sent all."""
    client, _ = listening.accept()
    files: list[int] = []
    with suppress(OSError, ValueError, struct.error):
        length, files, _, _ = socket.recv_fds(client, NUMBER.size, 3)
        return client, json.loads(client.recv(NUMBER.unpack(length)[0], socket.MSG_WAITALL)), files
    return client, None, files


def _become(argv: list[str], cwd: str, env: dict[str, str], files: list[int]) -> list[str]:
    """Make this fork what its client is."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    for number, name in enumerate(("stdin", "stdout", "stderr")):  # their buffers know the old files
        old, by_line = getattr(sys, name), number == 2 or os.isatty(number)
        new = open(  # noqa: SIM115
            number,
            "r" if number == 0 else "w",
            buffering=1 if by_line else -1,
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
        )
        setattr(sys, name, new)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    return argv


def main() -> None:
    """Import modules, then fork: `python -m avbalance.warm FOLDER FILE MODULE...`."""
    import gc
    import shutil

    folder, file, *modules = sys.argv[1:]
    try:
        for module in modules:
            import_module(module)
        if (threads := len(os.listdir("/proc/self/task"))) != 1:
            sys.exit(f"{threads} threads run after the imports, and a fork keeps one; every step imports for itself")
        import_module("avbalance.provenance").environment()  # read once for all steps
        gc.freeze()  # so that collecting garbage in a child copies no page of what was imported
        sys.argv = serve(socket.socket(fileno=int(file)))
    except SystemExit:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    step, cli = import_module(sys.argv[0]), import_module("avbalance.cli")
    end(lambda: cli.run(step.main))


def end(main: Callable[[], None]) -> NoReturn:
    """Run a step and end at once: taking down all that was imported would cost more than most steps."""
    import atexit
    import traceback

    code = 0
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
