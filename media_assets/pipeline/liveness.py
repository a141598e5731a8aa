"""Names for processes that can be checked later, so that the work of a dead one is taken over at once.

A heartbeat tells the same across machines, but only after its time-out; this tells it at once on the same machine.
"""

import os
import socket

import psutil


def this_process() -> str:
    """Return the name of this process: host, process id and start time."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


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
