"""Peer: the bare models, called picture by picture in a loop by hand; no Dagster, no tables, nothing is written.

As many processes as the product uses, each with its share of the pictures. The clock starts when all have loaded their
models and seen one picture.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from media_assets.models.loading import load_model
from media_assets.models.registry import ModelPlaces
from media_assets.models.vision_recipe import VisionRecipe

Look = Callable[[Any], object]


def _looks(assets: Sequence[str], recipe: VisionRecipe, places: ModelPlaces) -> list[Look]:
    def model(task: Any) -> Any:
        name = recipe.model(task)
        assert name is not None
        return load_model(name, places)

    def faces(picture: Any) -> object:
        (found,) = model("faces").detect([picture], recipe.threshold("faces"))
        return model("face_identity").encode(picture, found) if found else None

    known: dict[str, Look] = {
        "embeddings": lambda picture: model("embeddings").embed([picture]),
        "objects": lambda picture: model("objects").detect([picture], recipe.threshold("objects")),
        "faces": faces,
        "scenes": lambda picture: model("scenes").classify([picture], recipe.scene_labels),
        "texts": lambda picture: model("texts").read([picture], recipe.threshold("texts")),
        "safety": lambda picture: model("safety").rate([picture]),
    }
    return [known[asset] for asset in assets]


def _share(
    paths: Sequence[Path],
    assets: Sequence[str],
    recipe: VisionRecipe,
    places: ModelPlaces,
    barrier: Barrier,
    seconds: "multiprocessing.Queue[float]",
) -> None:
    looks = _looks(assets, recipe, places)
    for number, path in enumerate([paths[0], *paths]):
        if number == 1:
            barrier.wait()
            started = time.monotonic()
        with Image.open(path) as opened:
            picture = np.asarray(opened.convert("RGB"))
        for look in looks:
            look(picture)
    seconds.put(time.monotonic() - started)


def loop_by_hand(
    paths: Sequence[Path], assets: Sequence[str], recipe: VisionRecipe, places: ModelPlaces, processes: int
) -> float:
    """Return the seconds that the bare models take for all pictures."""
    context = multiprocessing.get_context("spawn")
    barrier, seconds = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_share, args=(paths[at::processes], assets, recipe, places, barrier, seconds))
        for at in range(processes)
    ]
    for worker in workers:
        worker.start()
    taken = [seconds.get(timeout=3600) for _ in workers]
    for worker in workers:
        worker.join()
    return max(taken)
