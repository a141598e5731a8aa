"""The sample library holds what it promises, byte for byte the same each time."""

import hashlib
import importlib.util
import math
import sys
from collections import defaultdict
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, ImageStat
from PIL.ExifTags import GPS, IFD, Base

from media_assets.demo import sample_library
from media_assets.demo.camera_exif import Camera, Place, Shot, exif_bytes
from media_assets.demo.clips import encode_pan
from media_assets.demo.photos import Photo, SamplePhotosMissingError, load_photo, photo_path
from media_assets.demo.sample_library import SampleFile, build_sample_library
from media_assets.media.errors import ReasonCode

HOLIDAY = "alice/2024 holiday"
PILLOW_FORMATS = {"jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "tiff": "TIFF", "bmp": "BMP"}

Library = tuple[Path, list[SampleFile]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("sample library")
    return folder, build_sample_library(folder)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def exif_of(path: Path) -> Image.Exif:
    # From memory: the nested directories of a TIFF are read only when they are asked for.
    return Image.open(BytesIO(path.read_bytes())).getexif()


class TestContents:
    def test_folder_holds_exactly_the_listed_files(self, library: Library) -> None:
        folder, samples = library
        names = [sample.name for sample in samples]
        assert len(names) == len(set(names))
        assert set(files_below(folder)) == set(names)

    def test_every_format_and_reason_occurs(self, library: Library) -> None:
        _, samples = library
        accepted = {sample.kind for sample in samples if sample.expected == "accepted"}
        assert accepted == {"jpeg", "heic", "png", "gif", "webp", "tiff", "bmp", "mp4", "webm"}
        rejected = {sample.kind: sample.reason_code for sample in samples if sample.expected == "rejected"}
        assert rejected == {
            "jpeg": ReasonCode.TRUNCATED,
            "text": ReasonCode.UNSUPPORTED_TYPE,
            "empty": ReasonCode.EMPTY_FILE,
        }

    def test_reason_is_given_for_rejects_only(self, library: Library) -> None:
        _, samples = library
        assert all((sample.reason_code is None) == (sample.expected == "accepted") for sample in samples)
        assert all(sample.note for sample in samples)

    def test_names_hold_two_owners_a_space_and_an_umlaut(self, library: Library) -> None:
        _, samples = library
        assert {sample.name.split("/")[0] for sample in samples} == {"alice", "bob"}
        assert any(" " in sample.name for sample in samples)
        assert any("ü" in sample.name for sample in samples)

    def test_accepted_pictures_decode_as_their_kind(self, library: Library) -> None:
        folder, samples = library
        pictures = [sample for sample in samples if sample.expected == "accepted" and sample.kind in PILLOW_FORMATS]
        assert len(pictures) >= 15
        for sample in pictures:
            with Image.open(folder / sample.name) as picture:
                picture.load()
                assert picture.format == PILLOW_FORMATS[sample.kind], sample.name

    def test_camera_sizes_occur(self, library: Library) -> None:
        folder, _ = library
        with Image.open(folder / HOLIDAY / "IMG_0001.JPG") as picture:
            assert picture.size == (3000, 2000)
        with Image.open(folder / HOLIDAY / "PXL_20240520_013000.jpg") as picture:
            assert picture.size == (4032, 3024)

    def test_png_is_transparent_in_part(self, library: Library) -> None:
        folder, _ = library
        with Image.open(folder / "alice/stickers/cat.png") as picture:
            assert picture.mode == "RGBA"
            assert picture.getchannel("A").getextrema() == (0, 255)

    def test_gif_moves(self, library: Library) -> None:
        folder, _ = library
        with Image.open(folder / "alice/stickers/coffee.gif") as picture:
            assert picture.n_frames == 14
            first = picture.convert("RGB")
            picture.seek(13)
            assert picture.convert("RGB").tobytes() != first.tobytes()


class TestDuplicates:
    def test_only_the_announced_files_share_bytes(self, library: Library) -> None:
        folder, _ = library
        by_digest = defaultdict(set)
        for name, content in files_below(folder).items():
            by_digest[hashlib.sha256(content).hexdigest()].add(name)
        shared = [names for names in by_digest.values() if len(names) > 1]
        assert shared == [
            {
                f"{HOLIDAY}/IMG_0001.JPG",
                f"{HOLIDAY}/IMG_0001 (copy).JPG",
                "bob/Grüße aus München/Von Alice - Sommerpalast.jpg",
            }
        ]


class TestRejects:
    def test_truncated_jpeg_is_the_beginning_of_a_good_one(self, library: Library) -> None:
        folder, _ = library
        whole = (folder / "bob/launch/IMG_2015.jpg").read_bytes()
        cut = (folder / "bob/launch/IMG_2016.jpg").read_bytes()
        assert whole.startswith(cut)
        assert len(cut) < 0.6 * len(whole)
        with Image.open(BytesIO(cut)) as picture, pytest.raises(OSError, match="truncated"):
            picture.load()

    def test_text_file_is_text(self, library: Library) -> None:
        folder, _ = library
        assert (folder / "bob/packing list.jpg").read_text(encoding="utf-8").startswith("Packing list")

    def test_empty_file_is_empty(self, library: Library) -> None:
        folder, _ = library
        assert (folder / HOLIDAY / "IMG_0119.JPG").stat().st_size == 0


class TestExif:
    def test_camera_exposure_and_time(self, library: Library) -> None:
        folder, _ = library
        exif = exif_of(folder / HOLIDAY / "IMG_0001.JPG")
        details = exif.get_ifd(IFD.Exif)
        assert (exif[Base.Make], exif[Base.Model]) == ("Canon", "Canon EOS R6")
        assert details[Base.LensModel] == "RF24-105mm F4 L IS USM"
        assert details[Base.DateTimeOriginal] == "2024:05:18 10:12:05"
        assert details[Base.OffsetTimeOriginal] == "+08:00"
        assert (float(details[Base.ExposureTime]), float(details[Base.FNumber])) == (0.004, 8.0)
        assert details[Base.ISOSpeedRatings] == 100
        gps = exif.get_ifd(IFD.GPSInfo)
        assert gps[GPS.GPSDateStamp] == "2024:05:18"
        assert gps[GPS.GPSTimeStamp] == (2, 12, 5)

    def test_offset_that_is_no_whole_hour_in_a_tiff(self, library: Library) -> None:
        folder, _ = library
        details = exif_of(folder / "alice/astro/deep field.tif").get_ifd(IFD.Exif)
        assert details[Base.OffsetTimeOriginal] == "+05:45"

    def test_old_camera_writes_neither_offset_nor_place(self, library: Library) -> None:
        folder, _ = library
        exif = exif_of(folder / "bob/DSC00042.JPG")
        details = exif.get_ifd(IFD.Exif)
        assert details[Base.DateTimeOriginal] == "2012:08:14 15:20:00"
        assert Base.OffsetTimeOriginal not in details
        assert IFD.GPSInfo not in exif

    def test_all_hemispheres_and_a_place_below_the_sea(self, library: Library) -> None:
        folder, samples = library
        seen, altitude_refs = set(), set()
        for sample in samples:
            if sample.expected == "accepted" and sample.kind in ("jpeg", "webp", "tiff"):
                gps = exif_of(folder / sample.name).get_ifd(IFD.GPSInfo)
                if gps:
                    seen.add(gps[GPS.GPSLatitudeRef] + gps[GPS.GPSLongitudeRef])
                    altitude_refs.add(gps[GPS.GPSAltitudeRef])
        assert seen == {"NE", "NW", "SE"}  # south and west is the HEIC's
        assert altitude_refs == {b"\0", b"\1"}

    def test_heic_carries_exif(self, library: Library) -> None:
        import pillow_heif

        folder, _ = library
        heic = pillow_heif.open_heif(folder / HOLIDAY / "IMG_0117.HEIC")
        assert heic.size == (2016, 1512)
        exif = Image.Exif()
        exif.load(heic.info["exif"])
        gps = exif.get_ifd(IFD.GPSInfo)
        assert exif[Base.Model] == "iPhone 15 Pro"
        assert gps[GPS.GPSLatitudeRef] + gps[GPS.GPSLongitudeRef] == "SW"

    def test_orientation_6_turns_upright(self, library: Library) -> None:
        folder, _ = library
        path = folder / HOLIDAY / "PXL_20240520_013000.jpg"
        assert exif_of(path)[Base.Orientation] == 6
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).resize((48, 64))
        truth = load_photo(Photo.ASTRONAUT, (48, 64))
        assert max(abs(a - b) for a, b in zip(_quarters(upright), _quarters(truth), strict=True)) < 6

    @given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-500, 9000))
    def test_place_survives(self, latitude_deg: float, longitude_deg: float, altitude_m: float) -> None:
        shot = Shot(
            Camera("Make", "Model"),
            datetime(2024, 1, 2, tzinfo=UTC),
            exposure_time_s=0.01,
            f_number=2.0,
            iso=100,
            focal_length_mm=30.0,
            focal_length_35mm_mm=30,
            place=Place(latitude_deg, longitude_deg, altitude_m),
        )
        exif = Image.Exif()
        exif.load(exif_bytes(shot, artist="nobody"))
        gps = exif.get_ifd(IFD.GPSInfo)
        for name, expected in ((GPS.GPSLatitude, latitude_deg), (GPS.GPSLongitude, longitude_deg)):
            degrees, minutes, seconds = (float(part) for part in gps[name])
            sign = -1 if gps[name - 1] in ("S", "W") else 1
            assert minutes < 60
            assert seconds < 60
            assert math.isclose(sign * (degrees + minutes / 60 + seconds / 3600), expected, abs_tol=2e-6)
        sign = -1 if gps[GPS.GPSAltitudeRef] == b"\1" else 1
        assert math.isclose(sign * float(gps[GPS.GPSAltitude]), altitude_m, rel_tol=1e-6, abs_tol=1e-3)


def _quarters(picture: Image.Image) -> list[float]:
    """Return the mean brightness of the four quarters: tells any turn or mirroring of a photo from another."""
    width, height = picture.size
    boxes = [
        (x, y, x + width // 2, y + height // 2) for y in (0, height // 2) for x in (0, width // 2)
    ]  # fmt: skip
    return [ImageStat.Stat(picture.convert("L").crop(box)).mean[0] for box in boxes]


class TestVideos:
    @pytest.mark.parametrize(
        ("name", "codec", "size", "duration_s", "created_at"),
        [
            (f"{HOLIDAY}/MVI_0118.mp4", "h264", (1280, 720), 3.5, "2024-05-18T02:18:05.000000Z"),
            ("bob/launch/tracking camera.webm", "vp9", (640, 360), 3.0, "2015-02-11T23:03:32.000000Z"),
        ],
    )
    def test_every_frame_decodes(
        self, library: Library, name: str, codec: str, size: tuple[int, int], duration_s: float, created_at: str
    ) -> None:
        import av

        folder, _ = library
        with av.open(str(folder / name)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.codec.canonical_name == codec
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert container.metadata["creation_time"] == created_at
            assert container.duration / av.time_base == pytest.approx(duration_s, abs=0.05)
            frames = list(container.decode(stream))
        assert len(frames) == round(duration_s * stream.average_rate)
        assert (frames[0].width, frames[0].height) == size
        assert frames[0].to_ndarray(format="gray").tobytes() != frames[-1].to_ndarray(format="gray").tobytes()

    def test_mp4_says_where(self, library: Library) -> None:
        import av

        folder, _ = library
        with av.open(str(folder / HOLIDAY / "MVI_0118.mp4")) as container:
            assert container.metadata["location"] == "+39.9993+116.2755/"

    def test_photo_smaller_than_the_video_is_refused(self) -> None:
        with pytest.raises(ValueError, match="enlarge the photo"):
            encode_pan(
                Image.new("RGB", (64, 64)),
                "mp4",
                size=(64, 64),
                duration_s=1,
                frame_rate_fps=5,
                created_at=datetime(2024, 1, 1, tzinfo=UTC),
            )

    def test_naive_creation_time_is_refused(self) -> None:
        with pytest.raises(ValueError, match="aware"):
            encode_pan(
                Image.new("RGB", (128, 64)),
                "mp4",
                size=(64, 64),
                duration_s=1,
                frame_rate_fps=5,
                created_at=datetime(2024, 1, 1),  # noqa: DTZ001 - that is the point
            )


class TestBuilding:
    def test_second_build_overwrites_with_the_same_bytes_and_leaves_other_files(
        self, library: Library, tmp_path: Path
    ) -> None:
        folder, samples = library
        stale = tmp_path / samples[0].name
        stale.parent.mkdir(parents=True)
        stale.write_bytes(b"stale")
        mine = tmp_path / "alice" / "mine.txt"
        mine.write_text("keep me")
        assert build_sample_library(tmp_path) == samples
        assert files_below(tmp_path) == {**files_below(folder), "alice/mine.txt": b"keep me"}

    def test_missing_package_names_the_extra_and_writes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find_spec(name))
        with pytest.raises(SamplePhotosMissingError, match=r"scikit-learn is not installed.*media_assets\[demo\]"):
            build_sample_library(tmp_path / "library")
        assert not (tmp_path / "library").exists()

    def test_package_without_the_photo_names_the_constraints(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "skimage").mkdir()
        (tmp_path / "skimage" / "__init__.py").touch()
        monkeypatch.delitem(sys.modules, "skimage", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(SamplePhotosMissingError, match=r"does not ship astronaut\.png.*constraints\.txt"):
            photo_path(Photo.ASTRONAUT)

    def test_same_seed_same_grain(self) -> None:
        plain = load_photo(Photo.CAT, (60, 40))
        first, again = (load_photo(Photo.CAT, (60, 40), grain_seed=1) for _ in range(2))
        other = load_photo(Photo.CAT, (60, 40), grain_seed=2)
        assert first.tobytes() == again.tobytes()
        assert len({plain.tobytes(), first.tobytes(), other.tobytes()}) == 3


class TestCommand:
    def test_prints_one_line_for_each_file(self, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, samples = library
        monkeypatch.setattr(sample_library, "build_sample_library", lambda _folder: samples)
        result = CliRunner().invoke(sample_library.main, [str(folder)])
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert len(lines) == len(samples) + 1
        assert all(sample.name in line for sample, line in zip(samples, lines, strict=False))
        assert any(line.startswith("rejected: truncated ") for line in lines)

    def test_folder_that_cannot_be_made_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        result = CliRunner().invoke(sample_library.main, [str(tmp_path / "file" / "below")])
        assert result.exit_code == 1
        assert "Name a folder that you may write to." in result.stderr

    def test_file_instead_of_a_folder_is_bad_usage(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert CliRunner().invoke(sample_library.main, [str(tmp_path / "file")]).exit_code == 2
