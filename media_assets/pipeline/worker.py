"""The decoder process: reads one task per line, answers one result per line. Run as ``python -m``, never imported.

Everything a hostile file can reach runs here, under limits of memory, CPU time and file size, with an environment that
carries no credentials. The protocol is JSON lines over pipes, not pickle: a taken-over worker can only send text that
the parent checks.
"""

import contextlib
import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, TextIO

from pydantic import TypeAdapter

from media_assets.media.errors import ContentError, ScratchError
from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult

_RESULT = TypeAdapter(MediaResult)
_SCRATCH_LIMIT_BYTES = 256 * 2**20  # renditions of one file, far above any real set


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the run dies, so that ``kill -9`` of a run leaves no decoder behind."""
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    with contextlib.suppress(ValueError, OSError):  # a stricter limit of the system stays
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _confine(memory_bytes: int) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _SCRATCH_LIMIT_BYTES)
    _limit(resource.RLIMIT_NOFILE, 128)
    _limit(resource.RLIMIT_AS, memory_bytes)


def _allow_cpu(seconds: float) -> None:
    """RLIMIT_CPU counts the whole life of the process: raise it by the budget of the next task."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)


def _answer(task: dict[str, Any]) -> dict[str, Any]:
    try:
        result = extract(
            Path(task["path"]),
            Path(task["scratch"]),
            file_name=task["file_name"],
            metadata=task["metadata"],
            renditions=task["renditions"],
            limits=Limits(**task["limits"]),
        )
    except ContentError as error:
        return {"error": {"reason": str(error.reason), "message": error.message, "stage": error.stage}}
    except ScratchError as error:
        return {"scratch": str(error)}
    except MemoryError:
        return {"memory": True}
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return {"memory": True}
        return {"unexpected": f"{type(error).__name__}: {str(error)[:300]}"}
    return {"result": _RESULT.dump_python(result, mode="json")}


def _serve(tasks: TextIO, answers: TextIO) -> None:
    for line in tasks:
        task = json.loads(line)
        _allow_cpu(task["cpu_s"])
        answers.write(json.dumps(_answer(task)) + "\n")
        answers.flush()


def main() -> None:
    """Serve tasks from standard input until it closes."""
    _die_with_parent()
    # Codecs print to standard output now and then; the protocol gets a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _confine(int(sys.argv[1]))
    answers.write(json.dumps({"ready": True}) + "\n")
    answers.flush()
    _serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
