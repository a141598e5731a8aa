"""The decoder process: reads one task per line, answers one result per line. Run as a program, never imported.

Tasks that take long send lines of progress before their answer.

Everything a hostile file can reach runs here, confined as ``confinement.py`` says, with an environment that carries no
credentials. The protocol is JSON lines over pipes, not pickle: a taken-over worker can only send text that the parent
checks.
"""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from pydantic import TypeAdapter

from media_assets.media.errors import ContentError, ScratchError
from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.media.records import MediaResult, WebVideo
from media_assets.media.rendering import RenderOptions
from media_assets.media.web_video import write_web_video
from media_assets.models.faces import LazyFaceFinder
from media_assets.pipeline.confinement import allow_cpu, confine, die_with_parent

_RESULT = TypeAdapter(MediaResult)
_WEB_VIDEO = TypeAdapter(WebVideo)
_OPTIONS = TypeAdapter(RenderOptions)
_OUT_OF_MEMORY = json.dumps({"memory": True}) + "\n"
_FIND_FACES = LazyFaceFinder()  # its model is loaded for the first square that is cut around faces


def _answer(task: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    try:
        with Path(task["path"]).open("rb") as file:
            file.read(1)
    except OSError as error:  # our own copy, in our own folder: no fault of the file
        return {"scratch": f"A decoder cannot read its copy of the file ({error.strerror})."}
    try:
        return _make_web_video(task, report) if task.get("is_video") else _extract(task)
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


def _extract(task: dict[str, Any]) -> dict[str, Any]:
    result = extract(
        Path(task["path"]),
        Path(task["scratch"]),
        file_name=task["file_name"],
        metadata=task["metadata"],
        renditions=task["renditions"],
        optimized=task["optimized"],
        appearance=task["appearance"],
        options=_OPTIONS.validate_python(task["options"]),
        find_faces=_FIND_FACES,
        limits=Limits(**task["limits"]),
        sidecars=tuple(Path(path) for path in task["sidecars"]),
    )
    return {"result": _RESULT.dump_python(result, mode="json")}


def _make_web_video(task: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    notes: list[str] = []
    made = write_web_video(
        Path(task["path"]),
        Path(task["scratch"]),
        _OPTIONS.validate_python(task["options"]),
        Limits(**task["limits"]),
        threads=task["threads"],
        deadline_s=task["deadline_s"],
        on_progress=lambda share: report({"progress": share}),
        notes=notes,
    )
    return {"result": _WEB_VIDEO.dump_python(WebVideo(made, tuple(notes)), mode="json")}


def _serve(tasks: TextIO, answers: TextIO) -> None:
    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        for line in tasks:
            task = json.loads(line)
            allow_cpu(task["cpu_s"])
            send(_answer(task, send))
    except MemoryError:  # under a limit below what the libraries take, there may be none to read a task
        answers.write(_OUT_OF_MEMORY)
        answers.flush()


def main(memory: str, work_folder: str = "") -> None:
    """Serve tasks from standard input until it closes.

    Args:
        memory: Address space of this process in bytes.
        work_folder: The only folder in which it may make files; empty for any.
    """
    # Codecs print to standard output now and then; the protocol gets a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    in_force = confine(int(memory), Path(work_folder) if work_folder else None)
    die_with_parent()
    answers.write(json.dumps({"ready": True, "isolation": sorted(in_force)}) + "\n")
    answers.flush()
    _serve(sys.stdin, answers)
