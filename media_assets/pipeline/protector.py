"""The process that makes copies: covers, encodes and proves one file per task. Run as a program, never imported.

It decodes originals, which are untrusted, and is confined as decoder processes are (``confinement.py``); beside its
work folder it may read the folders of models. What it makes is decoded and searched again here, from the bytes that
would be published.
"""

import base64
import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from pydantic import TypeAdapter

from media_assets.media.errors import ContentError, ScratchError
from media_assets.models.errors import ModelError
from media_assets.models.protect import ProtectedCopy, ProtectOptions, protect_picture, protect_video
from media_assets.models.records import TextLine
from media_assets.models.registry import ModelPlaces
from media_assets.pipeline.confinement import confine, die_with_parent

_OPTIONS = TypeAdapter(ProtectOptions)
_PLACES = TypeAdapter(ModelPlaces)
_NICE = 5
_PREVIEW_PX = 480


def _answer(task: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    try:
        copy = _protect(task, report)
        return {"result": _described(copy, is_video=task["is_video"])}
    except ContentError as error:
        return {"content": {"reason": str(error.reason), "message": error.message}}
    except ModelError as error:
        return {"model_error": str(error)}
    except ScratchError as error:
        return {"unexpected": str(error)}
    except MemoryError:
        return {"memory": True}
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return {"memory": True}
        return {"unexpected": f"{type(error).__name__}: {str(error)[:300]}"}


def _protect(task: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> ProtectedCopy:
    source, folder = Path(task["path"]), Path(task["folder"])
    options, places = _OPTIONS.validate_python(task["options"]), _PLACES.validate_python(task["places"])
    if not task["is_video"]:
        return protect_picture(
            source,
            folder,
            known_faces=[_box(one["box"]) for one in task["faces"]],
            known_texts=[_text(one) for one in task["texts"]],
            options=options,
            places=places,
        )
    return protect_video(
        source,
        folder,
        known_faces_by_s=_by_s(task["faces"], lambda one: _box(one["box"])),
        known_texts_by_s=_by_s(task["texts"], _text),
        options=options,
        places=places,
        on_progress=lambda share: report({"progress": share}),
    )


def _box(values: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = values
    return left, top, right, bottom


def _text(one: Mapping[str, Any]) -> TextLine:
    return TextLine(one["text"], one["score"], tuple((x, y) for x, y in one["polygon"]))


def _by_s(found: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Any]) -> dict[float, list[Any]]:
    frames: dict[float, list[Any]] = {}
    for one in found:
        frames.setdefault(one["frame_s"] or 0.0, []).append(read(one))
    return frames


def _described(copy: ProtectedCopy, *, is_video: bool) -> dict[str, Any]:
    """What the run is told: of videos without the covers, which are some for every frame."""
    answer = {name: value for name, value in asdict(copy).items() if name not in ("path", "covers")}
    covers = () if is_video else copy.covers
    return answer | {
        "name": copy.path.name,
        "covers": [{"kind": one.kind, "source": one.source, "polygon": one.polygon} for one in covers],
        "has_audio": is_video and _has_audio(copy.path),
        "preview": _preview(copy.path, is_video=is_video),
    }


def _preview(path: Path, *, is_video: bool) -> str | None:
    """A small picture of what is public, as base64 of WebP; ``None`` where the copy has no picture."""
    picture = _first_frame(path) if is_video else Image.open(path)
    if picture is None:
        return None
    with picture:
        small = picture.convert("RGB")
        small.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
        target = io.BytesIO()
        small.save(target, "WEBP", quality=70)
    return base64.b64encode(target.getvalue()).decode()


def _first_frame(path: Path) -> Image.Image | None:
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            return Image.fromarray(frame.to_ndarray(format="rgb24"))
    return None


def _has_audio(path: Path) -> bool:
    import av

    with av.open(str(path)) as container:
        return bool(container.streams.audio)


def _serve(tasks: TextIO, answers: TextIO) -> None:
    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in tasks:
        send(_answer(json.loads(line), send))


def main(memory: str, work_folder: str, *readable: str) -> None:
    """Serve tasks from standard input until it closes.

    Args:
        memory: Address space of this process in bytes.
        work_folder: The only folder in which it may make files; originals lie in it too.
        readable: Folders of models.
    """
    # Runtimes print to standard output now and then; the protocol gets a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    in_force = confine(int(memory), Path(work_folder), [Path(folder) for folder in readable])
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    die_with_parent()
    answers.write(json.dumps({"ready": True, "isolation": sorted(in_force)}) + "\n")
    answers.flush()
    _serve(sys.stdin, answers)
