"""Tests of media_assets.models.protect_video: clips in which a face moves, with all that tells who made them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data

from media_assets.media.errors import ContentError
from media_assets.models import protect_video as module
from media_assets.models.face_search import Care, FaceSearch, FoundFace, load_face_search
from media_assets.models.protect import ProtectedCopy, ProtectOptions, protect_video
from media_assets.models.records import Picture, TextLine
from media_assets.models.registry import ModelPlaces

_SIZE = (480, 320)
_HEAD = Image.fromarray(data.astronaut()[20:220, 130:310]).resize((90, 100))
_COFFEE = Image.fromarray(data.coffee()).resize(_SIZE)
Draw = Callable[[int], Image.Image]


def _place(frame: int) -> tuple[int, int]:
    return 10 + 6 * frame, 100 + round(40 * np.sin(frame / 4))


def _moving(frame: int) -> Image.Image:
    picture = _COFFEE.copy()
    picture.paste(_HEAD, _place(frame))
    return picture


def _clip(path: Path, draw: Draw, *, frames: int = 45, sound: bool = False, fps: int = 25) -> Path:
    with av.open(str(path), "w", format="mp4", options={"movflags": "use_metadata_tags"}) as output:
        output.metadata.update({"title": "Jane at home", "location": "+48.1374+011.5755/", "comment": "Jane"})
        stream: Any = output.add_stream("libx264", rate=Fraction(fps), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *_SIZE, "yuv420p"
        tone: Any = output.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for number in range(frames):
            output.mux(stream.encode(av.VideoFrame.from_image(draw(number))))
        output.mux(stream.encode(None))
        for number in range(frames * 48_000 // fps // 1024 if tone else 0):
            noise = np.random.default_rng(number).normal(0, 0.1, (1, 1024)).astype(np.float32)
            samples = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48_000, number * 1024
            output.mux(tone.encode(samples))
        if tone:
            output.mux(tone.encode(None))
    return path


@pytest.fixture
def places(tmp_path: Path) -> ModelPlaces:
    return ModelPlaces(None, tmp_path / "cache")


def _protect(source: Path, places: ModelPlaces, **more: Any) -> ProtectedCopy:
    folder = source.parent / "made"
    folder.mkdir(exist_ok=True)
    known: dict[str, Any] = {"known_faces_by_s": {}, "known_texts_by_s": {}, "options": ProtectOptions()}
    known |= {"on_progress": lambda share: None} | more
    return protect_video(source, folder, places=places, **known)


def _frames(path: Path) -> list[Picture]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _is_flat(part: Picture) -> bool:
    return bool(part.reshape(-1, 3).std(axis=0).max() < 8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ProtectedCopy:
    folder = tmp_path_factory.mktemp("moving")
    return _protect(_clip(folder / "a.mp4", _moving, sound=True), ModelPlaces(None, folder / "cache"))


def test_the_face_is_covered_in_every_frame(made: ProtectedCopy) -> None:
    frames = _frames(made.path)

    assert len(frames) == 45
    for number, frame in enumerate(frames):
        x, y = _place(number)
        assert _is_flat(frame[y + 30 : y + 75, x + 30 : x + 60]), number
    assert (made.faces_left, made.texts_covered) == (0, 0)
    assert made.faces_covered >= 1


def test_what_is_not_covered_looks_as_before(made: ProtectedCopy) -> None:
    frame = _frames(made.path)[0]

    assert np.abs(frame[:, 300:].astype(int) - np.asarray(_COFFEE)[:, 300:]).mean() < 6


def test_the_record_is_that_of_the_file(made: ProtectedCopy) -> None:
    assert (made.format, made.mime_type, made.width_px, made.height_px) == ("mp4", "video/mp4", *_SIZE)
    assert made.duration_s == pytest.approx(1.8, abs=0.05)
    assert made.size_bytes == made.path.stat().st_size
    assert all(cover.frame_s is not None and 0 <= cover.frame_s <= 1.8 for cover in made.covers)


def test_a_copy_has_one_picture_and_nothing_else(made: ProtectedCopy) -> None:
    written = made.path.read_bytes()
    for secret in (b"Jane", b"48.13", b"\xa9xyz", b"x264", b"loci", b"Lavf", b"Lavc"):
        assert secret not in written, secret
    assert b"ilst" not in written.replace(b"\0\0\0\x08ilst", b"")  # the empty list that FFmpeg writes
    with av.open(str(made.path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"
        assert set(container.metadata) <= {"major_brand", "minor_version", "compatible_brands"}


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_no_place_and_no_name(made: ProtectedCopy) -> None:
    done = subprocess.run(["exiftool", "-j", "-G0", "-a", "-ee", str(made.path)], capture_output=True, check=True)
    (said,) = json.loads(done.stdout)

    assert {name.split(":")[0] for name in said} <= {"SourceFile", "ExifTool", "File", "Composite", "QuickTime"}
    telling = ("GPS", "Location", "Title", "Comment", "Author", "Artist", "Encoder", "Software", "Make", "Model")
    assert not [name for name in said if name.split(":")[-1].startswith(telling)]


def test_sound_is_kept_only_on_request(tmp_path: Path, places: ModelPlaces) -> None:
    source = _clip(tmp_path / "a.mp4", lambda _: _COFFEE, frames=10, sound=True)

    copy = _protect(source, places, options=ProtectOptions(keep_audio=True))

    with av.open(str(copy.path)) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]


class _Search:
    """The real detectors, asleep in the frames of some numbers of calls."""

    def __init__(self, search: FaceSearch, sees: Callable[[int], bool]) -> None:
        self._search, self._sees, self._calls = search, sees, 0
        self.versions = search.versions

    def find(self, picture: Picture, care: Care) -> list[FoundFace]:
        self._calls += care != "frame_proof"
        return self._search.find(picture, care) if self._sees(self._calls) or care == "frame_proof" else []


def test_a_face_that_is_missed_now_and_then_is_covered_all_the_same(
    tmp_path: Path, places: ModelPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = _Search(load_face_search(places), lambda calls: calls % 4 == 1)
    monkeypatch.setattr(module, "load_face_search", lambda _: search)

    made = _protect(_clip(tmp_path / "a.mp4", _moving), places)

    for number, frame in enumerate(_frames(made.path)):
        x, y = _place(number)
        assert _is_flat(frame[y + 35 : y + 70, x + 35 : x + 55]), number


def test_a_face_that_the_first_look_missed_is_found_by_the_proof(
    tmp_path: Path, places: ModelPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = _Search(load_face_search(places), lambda calls: False)
    monkeypatch.setattr(module, "load_face_search", lambda _: search)

    made = _protect(_clip(tmp_path / "a.mp4", lambda _: _moving(20), frames=20), places)

    x, y = _place(20)
    assert made.rounds >= 2
    assert made.faces_left == 0
    assert all(_is_flat(frame[y + 30 : y + 75, x + 30 : x + 60]) for frame in _frames(made.path))


def test_covers_of_a_shot_do_not_stay_in_the_next_one(tmp_path: Path, places: ModelPlaces) -> None:
    light = Image.new("RGB", _SIZE, (210, 200, 180))

    made = _protect(_clip(tmp_path / "a.mp4", lambda number: _moving(20) if number < 15 else light, frames=30), places)

    frames = _frames(made.path)
    x, y = _place(20)
    assert all(frame[y + 30 : y + 75, x + 30 : x + 60].mean() < 110 for frame in frames[:15])
    assert all(frame[y + 30 : y + 75, x + 30 : x + 60].mean() > 180 for frame in frames[15:])


def test_known_faces_and_telling_texts_are_covered(tmp_path: Path, places: ModelPlaces) -> None:
    light = Image.new("RGB", _SIZE, (210, 200, 180))
    text = TextLine("jane@example.org", 0.9, ((300, 20), (420, 20), (420, 50), (300, 50)))

    made = _protect(
        _clip(tmp_path / "a.mp4", lambda _: light, frames=20),
        places,
        known_faces_by_s={0.4: [(100.0, 100.0, 140.0, 150.0)]},
        known_texts_by_s={0.4: [text]},
        options=ProtectOptions(longest_px=240),
    )

    assert (made.width_px, made.height_px) == (240, 160)
    assert {cover.source for cover in made.covers} == {"known", "text:email"}
    frame = _frames(made.path)[10]
    assert frame[12:23, 152:208].mean() < 110
    assert frame[52:73, 52:68].mean() < 110
    assert frame[100:, 120:].mean() > 180


def test_progress_grows_to_the_end(tmp_path: Path, places: ModelPlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.media.pace._EVERY_S", 0.0)
    told: list[float] = []

    _protect(_clip(tmp_path / "a.mp4", lambda _: _COFFEE, frames=10), places, on_progress=told.append)

    assert told == sorted(told)
    assert 0 <= told[0] < 0.4
    assert 0.7 < told[-1] <= 1


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypmp42 cut"])
def test_what_cannot_be_decoded_has_no_copy(tmp_path: Path, places: ModelPlaces, content: bytes) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(content)

    with pytest.raises(ContentError):
        _protect(source, places)
