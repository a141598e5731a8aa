"""The vector and the hash of a file that is not in the library, made in the same way as those in it.

The file may be hostile: it is decoded in a decoder process, as uploads are, and models see the preview only.
"""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_assets.media.errors import ContentError, ScratchError
from media_assets.models.vision_recipe import EMBEDDINGS
from media_assets.pipeline.analysis_pool import AnalysisPool, LookItem
from media_assets.pipeline.analysis_recipe import places_of, vision_recipe_of
from media_assets.pipeline.library import Library
from media_assets.pipeline.model_supply import supply
from media_assets.pipeline.search.records import SearchError
from media_assets.pipeline.workers import Task, WorkerStartError

PREVIEW = "preview"


@dataclass(frozen=True)
class QueryPicture:
    """What a file is compared by.

    Attributes:
        vectors: Shape (1, dim), of length 1: of the picture, or of the poster of a video.
        phash: Perceptual hash of the same; ``None``: it could not be measured.
    """

    vectors: NDArray[np.float32]
    phash: int | None


def read_query_picture(library: Library, path: Path, tell: Callable[[str], None]) -> QueryPicture:
    """Read a file that others shall be compared with.

    Args:
        library: Its settings say which model and which limits.
        path: A file of this machine.
        tell: Receives what people who wait should know.

    Raises:
        SearchError: The file cannot be read or decoded, or the model cannot be used.
        ModelError: The settings name a model that does not exist.
    """
    spool = library.spool(f"search-{uuid.uuid4().hex[:8]}")
    try:
        preview, phash = _preview(library, path, spool)
        return QueryPicture(_embed(library, preview, tell), phash)
    except OSError as error:
        raise SearchError(f"{path} cannot be read ({error.strerror or error}). Check the path.") from error
    except ContentError as error:
        raise SearchError(f"{path.name} cannot be searched for: {error.message}") from error
    except (ScratchError, WorkerStartError) as error:
        raise SearchError(str(error)) from error
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _preview(library: Library, path: Path, spool: Path) -> tuple[Path, int | None]:
    """Decode a copy of the file, under a neutral name; return the preview that was made of it, and the hash."""
    settings = library.settings
    most = max(settings.max_image_bytes, settings.max_video_bytes)
    if path.stat().st_size > most:
        raise SearchError(f"{path.name} has more than {most} bytes. Raise the setting max_video_bytes.")
    source, scratch = spool / "source", spool / "out"
    scratch.mkdir()
    shutil.copyfile(path, source)
    task = Task(path=source, scratch=scratch, file_name=path.name, metadata=False, renditions=True, appearance=True)
    with library.worker_pool() as pool:
        result = pool.submit(task).result()
    made = next((one for one in result.renditions if one.kind == PREVIEW), None)
    if made is None:
        raise SearchError(f"No preview could be made of {path.name}. Search for another copy of it.")
    return scratch / made.file_name, result.appearance.phash if result.appearance is not None else None


def _embed(library: Library, preview: Path, tell: Callable[[str], None]) -> NDArray[np.float32]:
    settings = library.settings
    recipe = vision_recipe_of(settings)
    places, unusable = supply(recipe, places_of(settings), (EMBEDDINGS,), tell)
    if EMBEDDINGS in unusable:
        raise SearchError(unusable[EMBEDDINGS])
    item = LookItem((preview,), (None,), frozenset({EMBEDDINGS}), recognizes=False, draws=False)
    with AnalysisPool(
        1,
        recipe=recipe,
        places=places,
        memory_bytes=settings.analysis_memory_bytes,
        timeout_s=settings.analysis_timeout_s,
    ) as pool:
        (looked,) = pool.submit([item]).result()
    answer = looked.assets[EMBEDDINGS]
    vector = answer.found[0].vector if answer.found else None
    if vector is None:
        raise SearchError(answer.error or "The model gave no vector for this picture. Search for another one.")
    array = np.asarray([vector], np.float32)
    return array / np.linalg.norm(array)
