"""Prepared results in place of the pipeline: what is left of a run is Dagster and what the project tells it.

One picture is really ingested; its outcome, with all metadata and its previews, stands for each file of a batch.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from media_assets.defs.assets import analyze, ingest
from media_assets.models.findings import EncodedFace, PictureFindings, Scene
from media_assets.models.records import Caption, DetectedFace, DetectedObject, Label, SafetyScore, TextLine
from media_assets.pipeline.analysis_drawing import drawn
from media_assets.pipeline.analysis_outcomes import AnalysisChunk, AnalysisItem, AnalysisOutcome, FoundInFile
from media_assets.pipeline.analysis_selection import AnalysisSelection
from media_assets.pipeline.assets import ANALYZE_ASSETS, INGEST_ASSETS, THUMBNAILS
from media_assets.pipeline.batch import Chunk, run_work
from media_assets.pipeline.intake import plan_batches, sweep
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import RunIdentity, Selection, WorkItem, select_work
from media_assets.settings import Settings
from media_assets.storage.ledger_schema import Preview

FILES_PER_CHUNK = 64  # setting flush_files


def media_id(number: int) -> str:
    """Return the partition key of a file; they have the form and the length of real ones."""
    return f"IMG_{number:06d}-{number * 2654435761 % 2**48:012x}"


def ingest_one(folder: Path, picture: Path) -> tuple[Library, FileOutcome]:
    """Ingest ``picture`` and return the library, which stays open, and its outcome."""
    inbox = folder / "inbox"
    inbox.mkdir(parents=True)
    (inbox / picture.name).write_bytes(picture.read_bytes())
    library = Library(
        Settings.load(library=str(folder / "library"), inbox=str(inbox), state=str(folder / "state"), workers=1)
    )
    opened = library.inbox(settle_s=0.0)
    sweep(library.ledger, opened, page_size=1000, max_pages=None, take_over=False)
    (batch,) = plan_batches(library.ledger, opened.url, dict, max_files=1, max_bytes=2**40)
    run = RunIdentity("prepare", "prepare", batch.batch_id)
    (member,) = library.ledger.batch_members(batch.batch_id)
    work = select_work(library.ledger, [member.media_id], INGEST_ASSETS, run)
    ((outcome,),) = [chunk.outcomes for chunk in run_work(library, work.items, run)]
    if outcome.state != "materialized" or outcome.assets != frozenset(INGEST_ASSETS):
        raise RuntimeError(f"The picture was not ingested: {outcome.message or outcome.error}")
    return library, outcome


def _findings(picture: Path) -> dict[str, FoundInFile]:
    """A few findings of each asset, drawn on the picture as the product draws them."""
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    height, width = pixels.shape[:2]
    face = DetectedFace(0.9, (0.4 * width, 0.2 * height, 0.6 * width, 0.5 * height))
    box = (0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)
    corners = ((10.0, 10.0), (90.0, 10.0), (90.0, 30.0), (10.0, 30.0))
    found = {
        "objects": PictureFindings(
            objects=tuple(DetectedObject(name, 0.75, box) for name in ("person", "dog", "chair"))
        ),
        "faces": PictureFindings(faces=(EncodedFace(face, None), EncodedFace(face, None))),
        "embeddings": PictureFindings(vector=tuple([0.03125] * 512)),
        "scenes": PictureFindings(
            scene=Scene(tuple(Label(name, 0.25) for name in ("beach", "pier", "coast")), Caption("a beach", "labels"))
        ),
        "safety": PictureFindings(safety=(SafetyScore("nsfw", 0.01), SafetyScore("violence", 0.02))),
        "texts": PictureFindings(texts=(TextLine("EXIT", 0.9, corners),)),
    }
    made = {}
    for asset, one in found.items():
        picture_bytes = drawn(asset, [pixels], [None], [one])
        text = None if picture_bytes is None else base64.b64encode(picture_bytes).decode()
        made[asset] = FoundInFile((one,), ((width, height),), (None,), text)
    return made


class Prepared:
    """Stands for the pipeline in both ops.

    Args:
        outcome: Of the file that was really ingested.
        picture: What its findings are drawn on.
    """

    def __init__(self, outcome: FileOutcome, picture: Path) -> None:
        self._outcome = outcome
        self._made = _findings(picture)
        self._preview = Preview(
            media_id=outcome.entry.media_id,
            input_version=outcome.sha256 or "",
            data_version=f"{(outcome.sha256 or '')[:16]}-thumbnails-1",
            preview_key=outcome.renditions_of(THUMBNAILS)[-1].key,
            width_px=640,
            height_px=480,
        )

    def outcome(self, key: str) -> FileOutcome:
        """Return what became of a file of op ``ingest``."""
        return replace(self._outcome, entry=replace(self._outcome.entry, media_id=key, source_key=f"camera/{key}.jpg"))

    def analysed(self, key: str) -> AnalysisOutcome:
        """Return what became of a file of op ``analyze``."""
        entry = replace(self._outcome.entry, media_id=key)
        return AnalysisOutcome(AnalysisItem(entry, self._preview, frozenset(ANALYZE_ASSETS)), False, self._made)

    def select_work(self, _ledger: object, media_ids: list[str], assets: list[str], _run: object) -> Selection:
        entry = self._outcome.entry
        items = tuple(WorkItem(replace(entry, media_id=key), frozenset(assets), "inbox") for key in media_ids)
        return Selection(items, (), (), ())

    def run_work(self, _library: object, items: tuple[WorkItem, ...], _run: object) -> Iterator[Chunk]:
        for at in range(0, len(items), FILES_PER_CHUNK):
            chunk = items[at : at + FILES_PER_CHUNK]
            yield Chunk(tuple(self.outcome(item.entry.media_id) for item in chunk), datetime.now(UTC))

    def select_analysis(
        self, _ledger: object, media_ids: list[str], _assets: object, _run: object, **_options: Any
    ) -> AnalysisSelection:
        return AnalysisSelection(tuple(self.analysed(key).item for key in media_ids), (), (), ())

    def run_analysis(
        self, _library: object, items: tuple[AnalysisItem, ...], *_more: object
    ) -> Iterator[AnalysisChunk]:
        for at in range(0, len(items), FILES_PER_CHUNK):
            chunk = items[at : at + FILES_PER_CHUNK]
            yield AnalysisChunk(tuple(self.analysed(item.entry.media_id) for item in chunk), datetime.now(UTC))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the ops use this instead of the pipeline."""
        with (
            mock.patch.object(ingest, "select_work", self.select_work),
            mock.patch.object(ingest, "run_work", self.run_work),
            mock.patch.object(analyze, "select_analysis", self.select_analysis),
            mock.patch.object(analyze, "run_analysis", self.run_analysis),
        ):
            yield
