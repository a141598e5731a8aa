"""A pool that answers from a function, in place of the processes that run models."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import pytest

from media_assets.models.findings import EncodedFace, PictureFindings, Scene
from media_assets.models.records import Caption, DetectedFace, DetectedObject, Label, SafetyScore
from media_assets.pipeline import analysis
from media_assets.pipeline.analysis_pool import AssetFindings, Looked, LookItem

Answer: TypeAlias = Callable[[str, LookItem], AssetFindings]

_SIZE = (1600, 800)  # of every preview, as the pool sees it


class Pool:
    """Answers at once; remembers what it was asked."""

    count = 1

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[list[LookItem]] = []

    def __call__(self, *_: Any, **__: Any) -> "Pool":
        return self

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, items: Sequence[LookItem]) -> "Future[list[Looked]]":
        self.asked.append(list(items))
        future: Future[list[Looked]] = Future()
        sizes = [(_SIZE,) * len(item.paths) for item in items]
        future.set_result(
            [
                Looked(size, {asset: self.answer(asset, item) for asset in item.assets})
                for size, item in zip(sizes, items, strict=True)
            ]
        )
        return future


def found(asset: str, item: LookItem) -> AssetFindings:
    """One finding of each asset in each picture."""
    face = DetectedFace(0.9, (160.0, 80.0, 320.0, 240.0))
    scene = Scene((Label("beach", 0.5), Label("pier", 0.25)), Caption("a beach", "labels"))
    one = {
        "objects": PictureFindings(objects=(DetectedObject("dog", 0.75, (0.0, 0.0, 800.0, 400.0)),)),
        "faces": PictureFindings(faces=(EncodedFace(face, (0.5, 0.25) if item.recognizes else None),)),
        "embeddings": PictureFindings(vector=(0.6, 0.8)),
        "scenes": PictureFindings(scene=scene),
        "safety": PictureFindings(safety=(SafetyScore("nsfw", 0.9),)),
        "texts": PictureFindings(),
    }[asset]
    return AssetFindings(found=(one,) * len(item.paths))


def install(monkeypatch: pytest.MonkeyPatch) -> Pool:
    """Let runs of op ``analyze`` use a pool that finds the same in every picture."""
    made = Pool(found)
    monkeypatch.setattr(analysis, "AnalysisPool", made)
    monkeypatch.setattr(analysis, "supply", lambda recipe, places, assets, tell: (places, {}))
    return made
