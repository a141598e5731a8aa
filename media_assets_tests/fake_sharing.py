"""Op ``protect`` without models: a pool that copies pictures, and consents and reviews that a test sets."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from PIL import Image

from media_assets.media.perceptual_hash import phash
from media_assets.pipeline import sharing, sharing_selection
from media_assets.pipeline.sharing_outcomes import MadeCopy
from media_assets.pipeline.sharing_pool import Covered, CoverTask


@dataclass
class Rules:
    """What owners and reviewers say; a test changes it at any time.

    Attributes:
        denied: What each owner denies, beside what is denied to all.
        publishers: Who consented to publication.
        decisions: Of reviewers, by media id; ``allow`` for all others.
    """

    publishers: set[str] = field(default_factory=set)
    denied: dict[str, set[str]] = field(default_factory=dict)
    decisions: dict[str, Literal["allow", "block", "waiting"]] = field(default_factory=dict)

    def allows(self, owner: str, purpose: str, at: object = None) -> bool:
        if purpose == "publication":
            return owner in self.publishers
        return purpose not in self.denied.get(owner, set())

    def decision(self, media_id: str, input_version: str) -> str:
        return self.decisions.get(media_id, "allow")


class SharingPool:
    """Answers at once: a small gray copy of each picture; remembers what it was asked."""

    count = 1

    def __init__(self) -> None:
        self.asked: list[CoverTask] = []
        self.answer: Callable[[CoverTask], Covered] = covered

    def __call__(self, *_: Any, **__: Any) -> "SharingPool":
        return self

    def __enter__(self) -> "SharingPool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: CoverTask, on_progress: object = None) -> "Future[Covered]":
        self.asked.append(task)
        future: Future[Covered] = Future()
        future.set_result(self.answer(task))
        return future


def covered(task: CoverTask, *, faces_left: int = 0, tags_left: Sequence[str] = ()) -> Covered:
    """A copy as a process makes it."""
    with Image.open(task.path) as original:
        gray = original.convert("L")
    path = task.folder / "copy.jpg"
    gray.save(path)
    data = path.read_bytes()
    return Covered(
        copy=MadeCopy(
            path=path,
            format="jpeg",
            mime_type="image/jpeg",
            width_px=gray.width,
            height_px=gray.height,
            size_bytes=len(data),
            duration_s=None,
            sha256=hashlib.sha256(data).hexdigest(),
            phash=phash(gray),
            covers=(),
            faces_covered=len(task.faces),
            texts_covered=len(task.texts),
            faces_left=faces_left,
            tags_left=tuple(tags_left),
            rounds=1,
            verified_with=("fake@1",),
            has_audio=False,
            preview="AAAA",
        )
    )


def install_pool(monkeypatch: pytest.MonkeyPatch) -> SharingPool:
    """Let runs of op ``protect`` use a pool that copies."""
    pool = SharingPool()
    monkeypatch.setattr(sharing, "SharingPool", pool)
    return pool


def install(monkeypatch: pytest.MonkeyPatch) -> tuple[SharingPool, Rules]:
    """Let them use rules that the test sets, too."""
    pool, rules = install_pool(monkeypatch), Rules()
    monkeypatch.setattr(sharing_selection, "read_consents", lambda library: rules)
    monkeypatch.setattr(sharing_selection, "read_gate", lambda library: rules)
    return pool, rules
