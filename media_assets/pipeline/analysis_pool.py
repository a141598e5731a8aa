"""A pool of processes that run models, one thread each; what one picture does to a process costs that picture only.

Lives here: processes, and what is asked again after one died. What they do is in ``analyst.py``, what results mean in
``analysis.py``.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from media_assets.models.findings import PictureFindings
from media_assets.models.registry import ModelPlaces
from media_assets.models.vision_recipe import VisionRecipe
from media_assets.pipeline.child import Child
from media_assets.pipeline.children import Children

_ANALYST = "media_assets.pipeline.analyst"
_FINDINGS = TypeAdapter(tuple[PictureFindings, ...])
_PLACES = TypeAdapter(ModelPlaces)
_NO_START = (
    "A process that runs models cannot be started ({error}). Free memory or lower the setting `analysis_workers`."
)
_CLOSED = "The pool of processes that run models was closed. Run it again."
# A model that kills its process with every picture would cost the start of a process for each of them. In a row: a few
# pictures that kill must not cost the others.
_MOST_DEATHS = 3


@dataclass(frozen=True)
class LookItem:
    """One media file to look at.

    Attributes:
        paths: Its preview, or the frames of a video.
        frames: Time of each in seconds; ``None`` for the picture.
        assets: What is asked.
        recognizes: Whether its faces may be encoded.
        draws: Whether pictures for the UI are drawn.
    """

    paths: tuple[Path, ...]
    frames: tuple[float | None, ...]
    assets: frozenset[str]
    recognizes: bool
    draws: bool = True


@dataclass(frozen=True)
class AssetFindings:
    """What became of one asset of one media file.

    Attributes:
        found: Findings for each picture or frame; ``None`` after an error.
        drawn: Encoded picture for the UI, where there is something to draw.
        error: What went wrong, for people.
        is_model_error: Whether the model cannot be used at all, whatever the picture.
        has_killed: Whether the process ended when it had nothing but this asset of this file to look at.
    """

    found: tuple[PictureFindings, ...] | None = None
    drawn: str | None = None
    error: str | None = None
    is_model_error: bool = False
    has_killed: bool = False


@dataclass(frozen=True)
class Looked:
    """What was found in one media file.

    Attributes:
        sizes: Width and height of each picture, in pixels.
        assets: By name of the asset.
    """

    sizes: tuple[tuple[int, int], ...]
    assets: Mapping[str, AssetFindings]


class _Ended(str):
    """Why there is no answer: the process ended by itself, and not because it took too long or asked for memory."""


class AnalysisPool:
    """Runs models over pictures in processes of its own.

    Args:
        count: Number of processes.
        recipe: Which models.
        places: Where they lie.
        memory_bytes: Address space of each process.
        timeout_s: Wall-clock time for one task.
    """

    def __init__(
        self, count: int, *, recipe: VisionRecipe, places: ModelPlaces, memory_bytes: int, timeout_s: float
    ) -> None:
        self.count = count
        self._recipe = asdict(recipe)
        self._places = _PLACES.dump_python(places, mode="json")
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="analyst")
        self._children = Children(lambda: Child((str(memory_bytes),), _ANALYST), _NO_START, _CLOSED)
        self._lock = threading.Lock()
        self._deaths: dict[str, int] = {}  # in a row, by asset

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

    def submit(self, items: Sequence[LookItem]) -> "Future[list[Looked]]":
        """Queue media files that are looked at together; the future gives what was found, in their order.

        It raises WorkerStartError when no process can be started.
        """
        return self._threads.submit(self._look, list(items))

    def _look(self, items: list[LookItem]) -> list[Looked]:
        assets = sorted({asset for item in items for asset in item.assets})
        answer = self._ask(items, assets)
        if isinstance(answer, list):
            self._is_well(assets)
            return answer
        # Something killed the process. Each asset of each file alone tells what.
        return [self._look_singly(item) for item in items]

    def _is_well(self, assets: Sequence[str]) -> None:
        with self._lock:
            for asset in assets:
                self._deaths.pop(asset, None)

    def _look_singly(self, item: LookItem) -> Looked:
        sizes: tuple[tuple[int, int], ...] = ()
        found: dict[str, AssetFindings] = {}
        for asset in sorted(item.assets):
            if self._deaths.get(asset, 0) >= _MOST_DEATHS:
                found[asset] = AssetFindings(error=f"The model of {asset} keeps ending its process.")
                continue
            answer = self._ask([item], [asset])
            if isinstance(answer, list):
                sizes = sizes or answer[0].sizes
                found[asset] = answer[0].assets[asset]
                self._is_well([asset])
            else:
                with self._lock:
                    self._deaths[asset] = self._deaths.get(asset, 0) + 1
                found[asset] = AssetFindings(error=str(answer), has_killed=isinstance(answer, _Ended))
        return Looked(sizes, found)

    def _ask(self, items: Sequence[LookItem], assets: Sequence[str]) -> list[Looked] | str:
        """Return what was found, or why the process could not say."""
        child = self._children.own()
        message = {
            "recipe": self._recipe,
            "places": self._places,
            "assets": list(assets),
            "items": [
                {
                    "paths": [str(path) for path in item.paths],
                    "frames": list(item.frames),
                    "assets": sorted(item.assets.intersection(assets)),
                    "recognizes": item.recognizes,
                    "draw": item.draws,
                }
                for item in items
            ],
        }
        try:
            answer = child.ask(message, self._timeout_s)
        except TimeoutError:
            self._children.discard(child)
            return f"The models took longer than {self._timeout_s:.0f} s. Raise the setting analysis_timeout_s."
        except (ValueError, OSError):
            self._children.discard(child)
            return "The process that runs models gave an answer that makes no sense."
        if answer is None:
            status = child.exit_status()
            self._children.discard(child)
            return _Ended(f"The process that runs models ended ({'signal' if status < 0 else 'status'} {abs(status)}).")
        if "memory" in answer:
            self._children.discard(child)  # its heap is in an unknown state
            return (
                f"The models need more than {self._memory_bytes / 2**20:.0f} MiB of memory. Raise the setting "
                "analysis_memory_bytes, or choose smaller models: media-assets models list"
            )
        if "unexpected" in answer:
            return str(answer["unexpected"])
        return [_looked(one) for one in answer["result"]]


def _looked(answer: Mapping[str, Any]) -> Looked:
    sizes = tuple((int(width), int(height)) for width, height in answer["sizes"])
    return Looked(sizes, {asset: _asset_findings(one) for asset, one in answer["assets"].items()})


def _asset_findings(answer: Mapping[str, Any]) -> AssetFindings:
    if "model_error" in answer:
        return AssetFindings(error=str(answer["model_error"]), is_model_error=True)
    if "error" in answer:
        return AssetFindings(error=str(answer["error"]))
    return AssetFindings(found=_FINDINGS.validate_python(answer["found"]), drawn=answer["drawn"])
