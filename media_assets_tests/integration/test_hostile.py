"""Hostile files and giants through the whole pipeline: a reject with a reason, bounded memory, nothing opened.

The files are made in code; the shared corpus has more of them (``make score-metadata``), mutations come from
``make fuzz``.
"""

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from media_assets.media.errors import ReasonCode
from media_assets.pipeline.assets import THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.settings import Settings
from media_assets_tests import bombs
from media_assets_tests.bench.fuzz import ingest
from media_assets_tests.bench.witness import MemoryWatch, SilentPorts
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.media.samples import write_video

pytestmark = pytest.mark.integration

MIB = 2**20
SECRET = "a line of a file that no upload may read"


def run(folder: Path) -> tuple[dict[str, FileOutcome], Library]:
    library = Library(
        Settings(library=str(folder / "library"), inbox=str(folder / "inbox"), workers=1, inbox_settle_s=0.0)
    )
    outcomes = {outcome.entry.source_key: outcome for outcome in ingest(library)}
    return outcomes, library


# ---------------------------------------------------------------- small files


@dataclass
class Hostile:
    """One run over all small hostile files."""

    outcomes: dict[str, FileOutcome]
    root: Path
    visitors: list[str]
    memory: MemoryWatch
    seconds: float


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    secret = folder / "secret.txt"
    secret.write_text(f"{SECRET}\n", encoding="utf-8")
    with SilentPorts((0,)) as ports:
        port = ports.ports[0]
        files = {
            "pixels.png": bombs.png(50_000, 50_000, pixels=False),
            "pixels.webp": bombs.webp_bomb(),
            "pixels.gif": bombs.gif(65_535, 65_535),
            "pixels.tif": bombs.tiff(60_000, 60_000),
            "pixels.heic": bombs.heic_bomb(),
            "frames.gif": bombs.gif(8000, 8000, frames=3000),
            "loop.tif": bombs.tiff(8, 8, next_directory=8, strip=bombs.zeros(64)),
            "ztxt.png": bombs.png_text_bomb(b"zTXt"),
            "iccp.png": bombs.png_text_bomb(b"iCCP"),
            "itxt.png": bombs.png_text_bomb(b"iTXt", 64 * MIB),
            "xxe.jpg": bombs.jpeg_with_xmp(bombs.xmp_with_entity(str(secret))),
            "laughs.jpg": bombs.jpeg_with_xmp(bombs.xmp_laughs()),
            "exif-loop.jpg": bombs.jpeg_with_exif_loop(),
            "reference.mov": bombs.movie_with_reference(f"http://127.0.0.1:{port}/v.mp4"),
            "reference-file.mov": bombs.movie_with_reference(f"file://{secret}"),
            "sound.jpg": jpeg(9),
            **bombs.playlists(port, str(secret)),
        }
        (folder / "inbox").mkdir()
        for name, content in files.items():
            (folder / "inbox" / name).write_bytes(content)
        started = time.monotonic()
        with MemoryWatch() as memory:
            outcomes, library = run(folder)
        seconds = time.monotonic() - started
        library.compact()
        library.close()
        yield Hostile(outcomes, folder / "library", ports.visitors, memory, seconds)


def test_every_hostile_file_has_an_outcome_and_the_sound_one_among_them_is_sound(hostile: Hostile) -> None:
    inbox = {path.name for path in (hostile.root.parent / "inbox").iterdir()}
    assert set(hostile.outcomes) == inbox
    assert {outcome.state for outcome in hostile.outcomes.values()} == {"materialized", "rejected"}
    assert hostile.outcomes["sound.jpg"].state == "materialized"
    assert hostile.seconds < 240


@pytest.mark.parametrize("name", ["pixels.png", "pixels.webp", "pixels.gif", "pixels.tif", "pixels.heic"])
def test_a_decompression_bomb_is_refused_by_its_header(hostile: Hostile, name: str) -> None:
    error = hostile.outcomes[name].error
    assert error is not None
    assert error.reason == ReasonCode.TOO_MANY_PIXELS


def test_a_gif_of_many_large_frames_costs_no_more_than_its_first(hostile: Hostile) -> None:
    """3,000 frames of 64 megapixels are counted, not composed; nothing of them is ever decoded but the first."""
    result = hostile.outcomes["frames.gif"].result
    assert result is not None
    assert result.facts.frame_count == 3000


@pytest.mark.parametrize("name", ["ztxt.png", "iccp.png", "itxt.png"])
def test_a_text_bomb_is_not_inflated(hostile: Hostile, name: str) -> None:
    """Taken without its text or refused for it: both are right, as long as no decoder died of it."""
    error = hostile.outcomes[name].error
    assert error is None or not str(error.reason).startswith("decoder_")


@pytest.mark.parametrize("name", ["xxe.jpg", "laughs.jpg", "exif-loop.jpg"])
def test_a_sound_picture_with_hostile_metadata_is_taken_without_it(hostile: Hostile, name: str) -> None:
    result = hostile.outcomes[name].result
    assert result is not None
    assert result.metadata is not None
    assert result.metadata.title is None


def test_playlists_scripts_and_references_are_refused(hostile: Hostile) -> None:
    names = [*bombs.playlists(1, "/x"), "reference.mov", "reference-file.mov"]
    assert {name: hostile.outcomes[name].state for name in names} == dict.fromkeys(names, "rejected")
    assert not [n for n in names if str(hostile.outcomes[n].error.reason).startswith("decoder_")]  # type: ignore[union-attr]


def test_no_file_opened_a_port(hostile: Hostile) -> None:
    assert hostile.visitors == []


def test_no_content_of_another_file_is_in_the_library(hostile: Hostile) -> None:
    tables = list(hostile.root.rglob("*.parquet"))
    assert tables
    for path in tables:
        assert SECRET not in str(pq.read_table(path).to_pydict())
    for path in (*hostile.root.rglob("originals/**/*"), *hostile.root.rglob("quarantine/**/*")):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_memory_stays_bounded(hostile: Hostile) -> None:
    assert hostile.memory.growth < 200 * MIB
    assert hostile.memory.worker_peak < 1024 * MIB


def test_rejects_leave_no_rendition(hostile: Hostile) -> None:
    kept = {folder.name for folder in hostile.root.glob("renditions/*/*")}
    assert kept == {one.sha256 for one in hostile.outcomes.values() if one.state == "materialized"}


# ---------------------------------------------------------------- giants


@pytest.mark.parametrize("name", ["giant.jpg", "giant.png"])
def test_a_picture_of_200_megapixels_costs_the_run_little_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / "inbox").mkdir()
    path = tmp_path / "inbox" / name
    if name == "giant.png":
        path.write_bytes(bombs.png(16_000, 12_500, channels=3))
    else:
        Image.new("L", (16_000, 12_500), 128).save(path, quality=80)
    with MemoryWatch() as memory:
        outcomes, library = run(tmp_path)
    library.close()
    assert outcomes[name].state == "materialized", outcomes[name].message
    facts = outcomes[name].result.facts  # type: ignore[union-attr]
    assert (facts.width_px, facts.height_px) == (16_000, 12_500)
    assert len(outcomes[name].renditions_of(THUMBNAILS)) == 5
    assert memory.growth < 150 * MIB
    assert memory.worker_peak < 3 * 1024 * MIB


def test_a_video_of_two_gigabytes_is_hashed_and_stored_in_pieces(tmp_path: Path) -> None:
    """A short sound video, then a box of zeros up to just below the limit; the file in the inbox is sparse."""
    (tmp_path / "inbox").mkdir()
    path = write_video(tmp_path / "inbox" / "long.mp4")
    target = 2 * 1024 * MIB - 4096
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        rest = target - file.tell()
        file.write(struct.pack(">I", rest) + b"free")
        file.truncate(target)
    statistics = os.statvfs(tmp_path)
    if statistics.f_bavail * statistics.f_frsize < 8 * 1024 * MIB:
        pytest.skip("less than 8 GiB of free disk space")
    with MemoryWatch() as memory:
        outcomes, library = run(tmp_path)
    library.close()
    outcome = outcomes["long.mp4"]
    assert outcome.state == "materialized", outcome.message
    assert outcome.size_bytes == target
    assert outcome.verified
    assert memory.growth < 150 * MIB
    assert memory.worker_peak < 512 * MIB


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    with (tmp_path / "inbox" / "huge.mp4").open("wb") as file:
        file.truncate(2 * 1024 * MIB + 1)
    outcomes, library = run(tmp_path)
    library.close()
    error = outcomes["huge.mp4"].error
    assert error is not None
    assert error.reason == ReasonCode.TOO_MANY_BYTES
    assert outcomes["huge.mp4"].sha256 is None
