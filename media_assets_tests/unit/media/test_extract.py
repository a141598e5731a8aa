import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from media_assets.media.errors import ContentError, ReasonCode
from media_assets.media.extract import extract
from media_assets.media.limits import Limits
from media_assets.media.resize import RENDITION_SIZES
from media_assets_tests.unit.media.conftest import Run
from media_assets_tests.unit.media.samples import encoded, exif_block, quadrants


def test_text_named_jpg_says_so(run: Run) -> None:
    with pytest.raises(ContentError) as caught:
        run(b"I am not a picture\n", "../photos/IMG 1.JPG")
    assert (caught.value.reason, caught.value.stage) == (ReasonCode.UNSUPPORTED_TYPE, "sniff")
    assert caught.value.message == (
        "The file is text, not a picture or video (its name says .jpg). Upload the original picture."
    )


def test_unsupported_media_says_what_it_is(run: Run) -> None:
    with pytest.raises(ContentError) as caught:
        run(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "drawing.svg")
    assert "an SVG drawing" in caught.value.message
    assert "not supported" in caught.value.message


def test_empty_file(run: Run) -> None:
    with pytest.raises(ContentError) as caught:
        run(b"", "x.jpg")
    assert caught.value.reason is ReasonCode.EMPTY_FILE


def test_truncated_jpeg_says_so(run: Run) -> None:
    data = encoded(quadrants(400, 300), "JPEG")
    with pytest.raises(ContentError) as caught:
        run(data[: len(data) // 2], "x.jpg")
    assert caught.value.reason is ReasonCode.TRUNCATED
    assert caught.value.message == "The JPEG data ends early (truncated upload). Upload the file again."


def test_too_many_bytes(run: Run) -> None:
    with pytest.raises(ContentError) as caught:
        run(encoded(quadrants(), "PNG"), limits=Limits(max_image_bytes=10))
    assert caught.value.reason is ReasonCode.TOO_MANY_BYTES
    assert "max_image_bytes" in caught.value.message


def test_all_that_is_asked(run: Run, tmp_path: Path) -> None:
    result = run(encoded(quadrants(2000, 1500), "JPEG", exif=exif_block({0x010F: "Cam"})), "a.jpg")
    assert (result.facts.mime_type, result.facts.extension, result.facts.width_px) == ("image/jpeg", "jpg", 2000)
    assert result.metadata is not None
    assert result.metadata.camera_make == "Cam"
    assert [r.kind for r in result.renditions] == [s.kind for s in RENDITION_SIZES]
    assert sorted(p.name for p in (tmp_path / "scratch").iterdir()) == sorted(f"{s.kind}.jpg" for s in RENDITION_SIZES)
    assert result.warnings == ()


def test_looks_are_of_the_picture_as_it_is_seen(run: Run) -> None:
    picture = Image.new("RGB", (400, 300), "#204080")
    picture.paste("#ffffff", (0, 0, 400, 75))
    upright = run(encoded(picture, "PNG"), "a.png", renditions=False, appearance=True).appearance
    lying = encoded(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif_block({0x0112: 6}), quality=95)
    turned = run(lying, "b.jpg", renditions=False, appearance=True).appearance
    assert upright is not None
    assert turned is not None
    assert [one.rgb_hex for one in upright.dominant_colors] == ["#204080", "#ffffff"]
    assert (upright.dhash ^ turned.dhash).bit_count() <= 8
    assert upright.brightness == pytest.approx(turned.brightness, abs=0.01)


def test_looks_are_measured_only_when_asked_for(run: Run) -> None:
    assert run(encoded(quadrants(), "PNG"), "a.png").appearance is None


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("of a library"), MemoryError()], ids=repr)
def test_a_file_whose_looks_cannot_be_measured_is_sound(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("media_assets.media.extract.measure_appearance", fail)
    result = run(encoded(quadrants(), "PNG"), "a.png", appearance=True)
    assert result.appearance is None
    assert [one.kind for one in result.renditions] == [size.kind for size in RENDITION_SIZES]
    assert result.warnings == (f"Its appearance could not be measured ({type(error).__name__}).",)


def test_only_facts(run: Run, tmp_path: Path) -> None:
    result = run(encoded(quadrants(), "PNG"), "a.png", metadata=False, renditions=False)
    assert (result.metadata, result.renditions) == (None, ())
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_validates_without_renditions(run: Run, format_name: str) -> None:
    data = encoded(quadrants(400, 300), format_name)
    with pytest.raises(ContentError):
        run(data[: len(data) * 60 // 100], renditions=False)


def test_extension_mismatch_is_a_warning(run: Run) -> None:
    result = run(encoded(quadrants(), "PNG"), "really.JPG")
    assert result.facts.format == "png"
    assert result.warnings == ("The name says .jpg, but the file is a PNG picture.",)
    assert run(encoded(quadrants(), "JPEG"), "no-extension").warnings == ()


@pytest.mark.parametrize(
    ("attributes", "is_motion"),
    [
        ('GCamera:MotionPhoto="1"', True),
        ('GCamera:MicroVideo="1"', True),
        ('GCamera:MotionPhoto="0" GCamera:MotionPhotoVersion="1"', False),
        ("", False),
    ],
)
def test_motion_photo(run: Run, attributes: str, is_motion: bool) -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" {attributes}/></rdf:RDF></x:xmpmeta>'
    )
    metadata = run(encoded(quadrants(), "JPEG", xmp=packet.encode())).metadata
    assert metadata is not None
    assert metadata.is_motion_photo is is_motion


def test_messages_name_no_local_path(run: Run, tmp_path: Path) -> None:
    for data in (
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\x04\x00\x00\x00WEBP",
        b"II*\x00\x08\x00\x00\x00",
    ):
        with pytest.raises(ContentError) as caught:
            run(data)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.message.endswith(".")


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_end_in_a_result_or_a_content_error(
    tmp_path: Path, format_name: str, data: st.DataObject
) -> None:
    original = bytearray(encoded(quadrants(), format_name, exif=exif_block({0x0112: 6, 0x010F: "Cam"})))
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(original) - 1), st.integers(0, 255)), max_size=8)
    ):
        original[position] = value
    cut = data.draw(st.integers(0, len(original)))
    path = tmp_path / "spool"
    path.write_bytes(original[: cut or None])
    try:
        result = extract(
            path, tmp_path, file_name="a", metadata=True, renditions=False, limits=Limits(max_pixels=10**6)
        )
    except ContentError as error:
        assert error.message.endswith(".")
    else:
        assert result.facts.width_px * result.facts.height_px <= 10**6


def test_importing_the_layer_loads_nothing_heavy() -> None:
    code = (
        "import sys, media_assets.media.extract; "
        "print([m for m in ('av', 'cv2', 'torch', 'dagster', 'duckdb', 'boto3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_output_is_srgb_upright_jpeg(run: Run, tmp_path: Path) -> None:
    run(encoded(quadrants().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif_block({0x0112: 6})))
    with Image.open(tmp_path / "scratch" / "thumb_150.jpg") as picture:
        assert (picture.size, picture.mode, picture.getexif().get(0x0112)) == ((96, 64), "RGB", None)
