"""Names for processes, and for holders of leases in them, that can be checked later: a dead one is followed at once.

A heartbeat tells the same across machines, but only after its time-out; this tells it at once on the same machine.
"""

import os
import socket
import uuid
from datetime import UTC, datetime

import psutil


def this_process() -> str:
    """Return the name of this process: host, process id and start time."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def named_start(name: str) -> datetime:
    """Return when the named process started, by the clock of its host."""
    return datetime.fromtimestamp(float(name.rsplit(":", 1)[1]), UTC)


def started_at() -> datetime:
    """Return when this process started."""
    return datetime.fromtimestamp(psutil.Process().create_time(), UTC)


def machine_started_at() -> datetime:
    """Return when this machine started."""
    return datetime.fromtimestamp(psutil.boot_time(), UTC)


def is_dead(name: str) -> bool:
    """Return whether the named process has certainly ended; false for processes of other hosts."""
    host, pid, started = name.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        # psutil derives the start from the boot time, which clock corrections move a little.
        alive = abs(process.create_time() - float(started)) < 2.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    return not alive


def new_holder() -> str:
    """Return a name for a holder of a lease in this process; each call gives another one."""
    return f"{this_process()}:{uuid.uuid4().hex[:8]}"


def is_dead_holder(name: str) -> bool:
    """Return whether the process of a :func:`new_holder` has certainly ended; false for names of another form."""
    process, _, _ = name.rpartition(":")
    return process.count(":") >= 2 and is_dead(process)
