"""A private two-node SLURM on this machine: real daemons, fake GPUs, nothing outside its own folder.

Debian's build lets several slurmd run on one host. The daemons are children of the test, in the foreground,
and end with it even when it is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.ranks import free_port

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "munged")
WAIT_SECONDS = 60  # for the daemons; a loaded machine takes some
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool.%n
SlurmdParameters=config_overrides
SlurmdTimeout=0
InactiveLimit=0
KillWait=30
MinJobAge=3600
JobRequeue=1
PreemptMode=REQUEUE
PreemptType=preempt/partition_prio
GresTypes=gpu
"""


def missing() -> str | None:
    """Why there can be no cluster here, in a line; None when there can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if absent:
        return f"{absent[0]} is not installed (remedy: make test-slurm as root installs it)"
    if os.geteuid():
        return "a private SLURM needs root"
    return None


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin"


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)


@dataclass
class Slurm:
    """A cluster in ``folder``: partitions ``main`` (default) and ``urgent``, which preempts."""

    folder: Path
    nodes: int = 2
    gpus: int = 2
    daemons: list[subprocess.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _path()}

    def start(self) -> None:
        self._configure()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(stat.S_IRUSR)
        names = {name: self.folder / f"munge.{name}" for name in ("sock", "pid", "log", "seed")}
        munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={names['sock']}"]
        munge += [f"--pid-file={names['pid']}", f"--log-file={names['log']}", f"--seed-file={names['seed']}"]
        self._daemon(*munge)
        self._wait_for(lambda: names["sock"].exists(), "munged")
        self._daemon("slurmctld", "-D", "-c", "-i")
        for number in range(self.nodes):
            self._daemon("slurmd", "-D", "-N", f"node{number}")
        self._wait_for(self._idle, "the nodes")

    def stop(self) -> None:
        if len(self.daemons) > 1:
            self.run("scancel", "--user=root", check=False)
            with contextlib.suppress(AssertionError):
                self._wait_for(lambda: not self.run("squeue", "-h", check=False), "the jobs", seconds=20)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        self.daemons.clear()

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """A job's state, such as RUNNING; an array's tasks give the first one's."""
        text = self.run("scontrol", "show", "job", job)
        return text.split("JobState=")[1].split()[0]

    def hurry(self, job: str) -> None:
        """Start a job that SLURM has put back into the queue at once, and not after its two minutes."""
        self.wait(job, "PENDING")
        while self.state(job) == "PENDING":
            # slurmd refuses what is as old as the job's end, which it knows to the second; and a job that is
            # still ending is given its two minutes only afterwards.
            time.sleep(3)
            self.run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)

    def wait(self, job: str, *states: str, seconds: int = 300) -> str:
        """Wait until a job is in one of ``states``, by default one that it cannot leave; returns it."""
        ends = states or ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        limit = time.monotonic() + seconds
        while (state := self.state(job)) not in ends:
            assert time.monotonic() < limit, f"job {job} is still {state}"
            time.sleep(0.3)
        return state

    def _configure(self) -> None:
        for name in ("state", "dev", *(f"spool.node{number}" for number in range(self.nodes))):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        port, *others = (free_port() for _ in range(self.nodes + 1))
        lines = [CONFIG.format(host=host, port=port, folder=self.folder)]
        lines += [
            f"NodeName=node{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={others[number]} CPUs=64 "
            f"RealMemory=64000 Gres=gpu:{self.gpus} State=UNKNOWN"
            for number in range(self.nodes)
        ]
        lines += [
            "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60",
            "PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10",
        ]
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        for number in range(self.gpus):
            # A character device, as a real GPU is: only then is CUDA_VISIBLE_DEVICES set.
            os.mknod(self.folder / "dev" / f"gpu{number}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        devices = self.folder / "dev" / f"gpu[0-{self.gpus - 1}]"
        (self.folder / "gres.conf").write_text(f"Name=gpu Count={self.gpus} File={devices}\n")

    def _daemon(self, *command: str) -> None:
        with (self.folder / "daemons.log").open("a") as log:
            self.daemons.append(
                subprocess.Popen(
                    command,
                    env=os.environ | self.environment,
                    stdout=log,
                    stderr=log,
                    preexec_fn=_end_with_parent,
                )
            )

    def _idle(self) -> bool:
        return self.run("sinfo", "-h", "-p", "main", "-o", "%T %D", check=False) == f"idle {self.nodes}"

    def _wait_for(self, ready, what: str, seconds: int = WAIT_SECONDS) -> None:
        limit = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < limit, f"{what}: not ready; see {self.folder}"
            time.sleep(0.1)
