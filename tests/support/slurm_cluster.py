"""A Slurm cluster of two nodes on this machine, for tests and for trying out job scripts.

    python tests/support/slurm_cluster.py start FOLDER     # prints the variable that points Slurm's commands at it
    python tests/support/slurm_cluster.py stop FOLDER

Needs root and Debian's packages slurm-wlm and munge. Everything stays in the folder: configuration, state, logs, and a munge
key and socket of its own. The nodes are two loopback addresses and have these for names, so that a job script finds its
first host as it would anywhere.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NODES = ("127.0.0.2", "127.0.0.3")
PATIENCE_SECONDS = 240.0
# No cgroups, which a container may not write: the tree of processes says what belongs to a step.
CONFIGURATION = """\
ClusterName=two_nodes
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
ReturnToService=2
SlurmdTimeout=10
KillWait=25
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL State=UP PriorityTier=2
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr={name} Port={port} CPUs={cpus} Gres=gpu:2 State=UNKNOWN\n"


def obstacle() -> str | None:
    """Return why a cluster cannot be started here, or None."""
    if os.geteuid() != 0:
        return "a Slurm cluster needs root"
    absent = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if _found(name) is None]
    return f"not installed: {', '.join(absent)} (Debian's slurm-wlm and munge)" if absent else None


class Cluster:
    """A cluster in a folder. It runs from `start` to `stop`, even after the process that started it has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start the daemons, and return when both nodes accept jobs. Raises `RuntimeError` if they do not."""
        for name in ("munge", "state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        ports, host = _free_ports(3), socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(folder=self.folder, host=host, ports=ports)
        for name, port in zip(NODES, ports[1:], strict=True):
            text += NODE.format(name=name, host=host, port=port, cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(text)
        # Slurm counts GPUs by their device files, and opens none of them.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        munge = self.folder / "munge"
        (munge / "key").touch(mode=0o400)
        (munge / "key").write_bytes(secrets.token_bytes(128))
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._daemon("munged", "--force", *(f"--{option}={munge / name}" for option, name in files.items()))
        self._daemon("slurmctld")
        for name in NODES:
            self.start_node(name)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.command("sinfo", "--noheader", "--partition=main", "--Node", "--format=%T").split() != [
            "idle",
            "idle",
        ]:
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the nodes did not come up; the logs are in {self.folder}")
            time.sleep(0.5)

    def start_node(self, name: str) -> None:
        """Start or restart a node."""
        self._daemon("slurmd", "-N", name)

    def kill_node(self, name: str) -> None:
        """Kill a node and all its processes at once, like a power failure."""
        for pid in self._processes_of(name):
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End jobs and daemons."""
        for name in NODES:
            self.kill_node(name)
        for pid_file in (self.folder / "slurmctld.pid", self.folder / "munge/pid"):
            if pid_file.exists():
                os.kill(int(pid_file.read_text()), signal.SIGTERM)

    def command(self, *command: object, **more: str) -> str:
        """Run a Slurm command, and return its output. Raises `CalledProcessError` if it fails."""
        environment = {**os.environ, **self.environment, **more}
        arguments = [str(part) for part in command]
        return subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def job(self, number: str) -> dict[str, str]:
        """Return Slurm's fields of a job: JobState, Restarts, ExitCode, ..."""
        words = self.command("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def _daemon(self, name: str, *options: str) -> None:
        environment = {**os.environ, **self.environment}
        with (self.folder / f"{name}.out").open("a") as output:
            subprocess.run([_found(name) or name, *options], env=environment, check=True, stdout=output, stderr=output)

    def _processes_of(self, name: str) -> list[int]:
        """Return Slurm's processes of a node: daemons have its log open; jobs and steps have its name in their
        environment.
        """
        log, found = str(self.folder / f"slurmd-{name}.log"), []
        names = {f"SLURM_CONF={self.environment['SLURM_CONF']}".encode(), f"SLURMD_NODENAME={name}".encode()}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                variables = set((process / "environ").read_bytes().split(b"\0"))
                if names <= variables or any(os.readlink(item) == log for item in (process / "fd").iterdir()):
                    found.append(int(process.name))
            except OSError:  # it has ended meanwhile
                continue
        return found


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def main() -> None:
    command, folder = sys.argv[1:] if len(sys.argv) == 3 else ("", "")
    if command not in ("start", "stop"):
        sys.exit(__doc__)
    if reason := obstacle():
        sys.exit(reason)
    cluster = Cluster(Path(folder))
    if command == "stop":
        cluster.stop()
        return
    cluster.start()
    sys.stdout.write(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}\n")


if __name__ == "__main__":
    main()
