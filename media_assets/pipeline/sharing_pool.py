"""A pool of processes that make copies: one file at a time each, so that what a file does to a process costs that file.

Lives here: processes, what they are asked, and what their answers mean. What they do is in ``protector.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from media_assets.media.foreign_tags import foreign_tags
from media_assets.models.registry import ModelPlaces
from media_assets.pipeline.child import Child
from media_assets.pipeline.children import Children
from media_assets.pipeline.sharing_outcomes import CopyCover, MadeCopy
from media_assets.pipeline.sharing_recipe import SharingRecipe

_PROTECTOR = "media_assets.pipeline.protector"
_PLACES = TypeAdapter(ModelPlaces)
_NO_START = (
    "A process that covers faces cannot be started ({error}). Free memory or lower the setting `analysis_workers`."
)
_CLOSED = "The pool of processes that cover faces was closed. Run it again."


@dataclass(frozen=True)
class KnownThing:
    """A face or a text that the analysis found, in px of the upright original.

    Attributes:
        frame_s: Time of the frame; ``None``: a picture.
        box: Left, top, right and bottom edge.
        polygon: Corners of a text.
        text: What it says; "" for a face.
        score: How sure the model was.
    """

    frame_s: float | None
    box: tuple[float, float, float, float]
    polygon: tuple[tuple[float, float], ...] = ()
    text: str = ""
    score: float = 1.0


@dataclass(frozen=True)
class CoverTask:
    """One file to make a copy of.

    Attributes:
        path: The original, in the work folder of the pool.
        folder: Empty folder for the copy.
        is_video: Whether it is covered frame by frame.
        faces: Faces that are known.
        texts: Texts that are known.
    """

    path: Path
    folder: Path
    is_video: bool
    faces: tuple[KnownThing, ...] = ()
    texts: tuple[KnownThing, ...] = ()


@dataclass(frozen=True)
class Covered:
    """What became of a file.

    Attributes:
        copy: The copy; ``None`` after an error.
        reason: Code of why the file cannot be read at all; trying again is of no use.
        error: What went wrong, for people.
        is_model_error: Whether the models cannot be used at all, whatever the file.
        has_killed: Whether the process ended by itself.
    """

    copy: MadeCopy | None = None
    reason: str | None = None
    error: str | None = None
    is_model_error: bool = False
    has_killed: bool = False


class SharingPool:
    """Makes copies in processes of its own.

    Args:
        count: Number of processes.
        recipe: How.
        places: Where models lie.
        work_folder: The only folder in which the processes make files.
        memory_bytes: Address space of each.
        timeout_s: Wall-clock time for a picture, and for a video between two signs of progress.
        video_timeout_s: Wall-clock time for a video.
    """

    def __init__(
        self,
        count: int,
        *,
        recipe: SharingRecipe,
        places: ModelPlaces,
        work_folder: Path,
        memory_bytes: int,
        timeout_s: float,
        video_timeout_s: float,
    ) -> None:
        self.count = count
        self._options = asdict(recipe.options())
        self._places = _PLACES.dump_python(places, mode="json")
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._video_timeout_s = video_timeout_s
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="protector")
        folders = [str(folder) for folder in (places.folder, places.cache) if folder is not None]
        arguments = (str(memory_bytes), str(work_folder), *folders)
        self._children = Children(lambda: Child(arguments, _PROTECTOR), _NO_START, _CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; what is in work is abandoned."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children.take_all():
            child.kill()
        self._threads.shutdown(wait=True)

    def submit(self, task: CoverTask, on_progress: Callable[[float], None] | None = None) -> "Future[Covered]":
        """Queue a file; the future gives what became of it.

        It raises WorkerStartError when no process can be started.
        """
        return self._threads.submit(self._cover, task, on_progress)

    def _cover(self, task: CoverTask, on_progress: Callable[[float], None] | None) -> Covered:
        child = self._children.own()
        message = {
            "path": str(task.path),
            "folder": str(task.folder),
            "is_video": task.is_video,
            "faces": _known(task.faces),
            "texts": _known(task.texts),
            "options": self._options,
            "places": self._places,
        }
        timeout_s = self._video_timeout_s if task.is_video else self._timeout_s
        stall_s = self._timeout_s if task.is_video else None
        try:
            answer = child.ask(message, timeout_s, stall_s=stall_s, on_progress=on_progress)
        except TimeoutError:
            self._children.discard(child)
            said = f"Covering took longer than {timeout_s:.0f} s. Raise the setting analysis_timeout_s."
            if task.is_video:
                said = (
                    f"Covering took longer than {timeout_s:.0f} s, or {self._timeout_s:.0f} s without progress. Raise "
                    "the setting share_timeout_s or analysis_timeout_s."
                )
            return Covered(error=said)
        except (ValueError, OSError):
            self._children.discard(child)
            return Covered(error="The process that covers faces gave an answer that makes no sense.")
        if answer is None:
            status = child.exit_status()
            self._children.discard(child)
            how = f"{'signal' if status < 0 else 'status'} {abs(status)}"
            return Covered(error=f"The process that covers faces ended ({how}).", has_killed=True)
        if "memory" in answer:
            self._children.discard(child)  # its heap is in an unknown state
            return Covered(
                error=f"Covering needs more than {self._memory_bytes / 2**20:.0f} MiB of memory. Raise the setting "
                "analysis_memory_bytes."
            )
        return _understood(answer, task.folder)


def _known(found: Sequence[KnownThing]) -> list[dict[str, object]]:
    return [asdict(one) for one in found]


def _understood(answer: Mapping[str, Any], folder: Path) -> Covered:
    if "model_error" in answer:
        return Covered(error=str(answer["model_error"]), is_model_error=True)
    if "unexpected" in answer:
        return Covered(error=str(answer["unexpected"]))
    try:
        if "content" in answer:
            return Covered(reason=str(answer["content"]["reason"]))
        return Covered(copy=_copy(answer["result"], folder))
    except (KeyError, TypeError, ValueError, OSError):  # of pydantic too
        return Covered(error="The process that covers faces gave an answer that makes no sense.")


def _copy(result: Mapping[str, Any], folder: Path) -> MadeCopy:
    name = str(result["name"])
    if not name or "/" in name or name.startswith("."):  # the process may have been taken over by its file
        raise ValueError("the copy lies elsewhere")
    path = folder / name
    return _MADE.validate_python(
        {
            **{field: result.get(field) for field in MadeCopy.__dataclass_fields__},
            "path": path,
            "phash": int(result["phash"], 16) if result.get("phash") else None,
            "covers": [CopyCover(one["kind"], one["source"], _points(one["polygon"])) for one in result["covers"]],
            "tags_left": foreign_tags(path),
            "verified_with": tuple(result["verified_with"]),
        }
    )


def _points(polygon: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in polygon)


_MADE = TypeAdapter(MadeCopy)
