"""A real Slurm on this machine: a controller and two nodes with a GPU each, on loopback, without accounting."""

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
NODES = ("node1", "node2")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdTimeout=3
KillWait=1
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 RealMemory=500000 Gres=gpu:1\n"


@dataclass
class Job:
    """A job of the cluster, as `scontrol` describes it."""

    fields: dict[str, str]

    @property
    def rule(self) -> str:
        """Name of its rule."""
        found = re.match(r"rule_(\w+?)(?:_wildcards|$)", self.fields["Comment"])
        assert found is not None
        return found[1]

    @property
    def is_running(self) -> bool:
        """True while it runs."""
        return self.fields["JobState"] == "RUNNING"


@dataclass
class Slurm:
    """A cluster below a folder.

    Attributes:
        environment: Variables with which a program finds the cluster.
    """

    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        configuration = self.folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(configuration), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        ports = free_ports(1 + len(NODES))
        names = {"host": socket.gethostname(), "folder": self.folder, "user": Path.home().owner()}
        text = CONFIGURATION.format(controller=ports[0], **names)
        for name, port in zip(NODES, ports[1:], strict=True):
            text += NODE.format(name=name, port=port, **names)
            (self.folder / f"spool-{name}").mkdir()
        text += "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        configuration.write_text(text, encoding="utf-8")
        gpu = self.folder / "gpu"  # stands for the device file
        gpu.touch()
        (self.folder / "gres.conf").write_text(f"NodeName={','.join(NODES)} Name=gpu File={gpu}\n", encoding="utf-8")
        (self.folder / "state").mkdir()
        # The executor hides SLURM_CONF from srun, which then looks for the configuration in /etc.
        srun = self.folder / "bin" / "srun"
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {which("srun")} "$@"\n', encoding="utf-8")
        srun.chmod(0o755)

    def start(self) -> None:
        """Start munge, the controller and the nodes, and wait until the nodes are idle."""
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        files = {
            name: self.folder / f"munge.{name.split('-')[0]}"
            for name in ("socket", "pid-file", "log-file", "seed-file")
        }
        options = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        self._begin("munged", "--foreground", "--force", "--key-file", str(key), *options)
        self._wait(files["socket"].exists, "munged")
        configuration = self.environment["SLURM_CONF"]
        self._begin("slurmctld", "-D", "-f", configuration)
        for name in NODES:
            self._begin("slurmd", "-D", "-f", configuration, "-N", name, NODE=name)
        self._wait(lambda: self.run("sinfo", "-h", "-o", "%T").split() == ["idle"], "idle nodes")

    def _begin(self, *command: str, **more: str) -> None:
        with (self.folder / f"{command[0]}.output").open("ab") as output:
            subprocess.Popen(
                command,
                env={**os.environ, **self.environment, **more},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _wait(self, is_so, what: str) -> None:  # noqa: ANN001
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline, f"no {what} within a minute; see {self.folder}/*.log"
            time.sleep(0.1)

    def run(self, *command: str) -> str:
        """Output of a command of Slurm; empty if it failed."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        ).stdout

    def jobs(self) -> list[Job]:
        """All jobs, also those that have ended in the last minutes."""
        lines = self.run("scontrol", "-o", "show", "job").splitlines()
        return [
            Job(dict(re.findall(r"(\w+)=(.*?)(?= +\w+=| *$)", line))) for line in lines if line.startswith("JobId=")
        ]

    def wait_for_running(self, rule: str, node: str | None = None) -> Job:
        """The first running job of a rule, on one node or on any."""
        deadline = time.monotonic() + 600
        while True:
            for job in self.jobs():
                if job.is_running and job.rule == rule and node in (None, job.fields["NodeList"]):
                    return job
            assert time.monotonic() < deadline, f"no job of {rule} runs on {node or 'any node'}"
            time.sleep(0.1)

    def kill_node(self, name: str) -> None:
        """End a node as a power failure would: its daemon and all that runs there."""
        kill_all(f"NODE={name}", f"SLURMD_NODENAME={name}")

    def stop(self) -> None:
        """End everything that belongs to the cluster, its jobs too."""
        kill_all(f"SLURM_CONF={self.environment['SLURM_CONF']}")


def kill_all(*variables: str) -> None:
    """Kill every process that has one of these variables in its environment, until none is left."""
    wanted = {variable.encode() for variable in variables}
    own = os.getpid()
    while True:
        killed = False
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != own:
                with suppress(OSError):
                    if not wanted.isdisjoint((process / "environ").read_bytes().split(b"\0")):
                        os.kill(int(process.name), signal.SIGKILL)
                        killed = True
        if not killed:
            return
        time.sleep(0.05)


def free_ports(number: int) -> list[int]:
    """Ports that no program uses."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def missing() -> str | None:
    """Programs that a cluster needs and this machine lacks."""
    absent = [program for program in PROGRAMS if which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    return f"no {', '.join(absent)} here (Debian: slurm-wlm, munge)" if absent else None
