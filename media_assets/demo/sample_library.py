"""The sample library: a small inbox as real uploaders leave it, good files and bad ones.

What the files are and what must become of them; photos, EXIF and videos come from the neighbouring modules. The same
versions of the libraries give the same bytes. Run it alone: ``python -m media_assets.demo.sample_library FOLDER``.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import click
from PIL import Image, ImageDraw, ImageFilter

from media_assets.demo.camera_exif import Camera, Place, Shot, exif_bytes
from media_assets.demo.clips import encode_pan
from media_assets.demo.photos import Photo, SamplePhotosMissingError, load_photo, photo_path
from media_assets.media.errors import ReasonCode

# Gets the folder of the library, where files made earlier can be read, and returns the bytes of its own file.
_Recipe = Callable[[Path], bytes]


@dataclass(frozen=True)
class SampleFile:
    """One file of the sample library.

    Attributes:
        name: Path below the library's folder, with forward slashes; the first part is the owner.
        kind: Short lower-case name of what the bytes are: jpeg heic png gif webp tiff bmp mp4 webm text empty.
        expected: What the pipeline must do with it.
        reason_code: Why it is rejected; ``None`` for an accepted file.
        note: What the file shows, for people.
    """

    name: str
    kind: str
    expected: Literal["accepted", "rejected"]
    reason_code: ReasonCode | None
    note: str


_MIRRORLESS = Camera("Canon", "Canon EOS R6", "RF24-105mm F4 L IS USM", "Firmware Version 1.8.2")
_REFLEX = Camera("NIKON CORPORATION", "NIKON D750", "AF-S VR Micro-Nikkor 105mm f/2.8G IF-ED", "Ver.1.15")
_IPHONE = Camera("Apple", "iPhone 15 Pro", "iPhone 15 Pro back triple camera 6.765mm f/1.78", "17.4.1")
_ANDROID = Camera("Google", "Pixel 8", "Pixel 8 back camera 6.9mm f/1.68", "HDR+ 1.0.612684532z")
_COMPACT = Camera("SONY", "DSC-RX100")

_BEIJING = timezone(timedelta(hours=8))
_CAPE_CANAVERAL = timezone(timedelta(hours=-5))
_SYDNEY = timezone(timedelta(hours=10))
_RIO = timezone(timedelta(hours=-3))
_MUNICH = timezone(timedelta(hours=2))
_NEPAL = timezone(timedelta(hours=5, minutes=45))

_PALACE_SHOT = Shot(
    _MIRRORLESS,
    datetime(2024, 5, 18, 10, 12, 5, tzinfo=_BEIJING),
    exposure_time_s=1 / 250,
    f_number=8.0,
    iso=100,
    focal_length_mm=35.0,
    focal_length_35mm_mm=35,
    place=Place(39.99926, 116.27551, 49.5),
)
_FLOWER_SHOT = Shot(
    _REFLEX,
    datetime(2024, 6, 2, 17, 40, 31, tzinfo=_MUNICH),
    exposure_time_s=1 / 640,
    f_number=3.2,
    iso=200,
    focal_length_mm=105.0,
    focal_length_35mm_mm=105,
    place=Place(48.16389, 11.50028, 512.0),
)
_ROCKET_SHOT = Shot(
    _MIRRORLESS,
    datetime(2015, 2, 11, 18, 3, 32, tzinfo=_CAPE_CANAVERAL),
    exposure_time_s=1 / 2000,
    f_number=5.6,
    iso=400,
    focal_length_mm=105.0,
    focal_length_35mm_mm=105,
    place=Place(28.56194, -80.57722, 3.0),
)
_PORTRAIT_SHOT = Shot(
    _ANDROID,
    datetime(2024, 5, 20, 9, 30, 0, tzinfo=_BEIJING),
    exposure_time_s=1 / 60,
    f_number=1.68,
    iso=320,
    focal_length_mm=6.9,
    focal_length_35mm_mm=25,
    orientation=6,
    flash_fired=True,
)
_CAT_SHOT = Shot(
    _IPHONE,
    datetime(2024, 5, 21, 20, 15, 44, tzinfo=_RIO),
    exposure_time_s=1 / 120,
    f_number=1.78,
    iso=250,
    focal_length_mm=6.765,
    focal_length_35mm_mm=24,
    place=Place(-22.95192, -43.21049, 705.2),
)
_COFFEE_SHOT = replace(
    _CAT_SHOT, taken_at=datetime(2024, 7, 1, 7, 5, 9, tzinfo=_SYDNEY), place=Place(-33.85678, 151.21530, 4.0)
)
# A camera that was built before EXIF 2.31 knows no offset: its instant stays unknown.
_OLD_SHOT = Shot(
    _COMPACT,
    datetime(2012, 8, 14, 15, 20, 0),  # noqa: DTZ001 - see the comment above
    exposure_time_s=1 / 125,
    f_number=4.0,
    iso=125,
    focal_length_mm=10.4,
    focal_length_35mm_mm=28,
)
_DEAD_SEA_SHOT = replace(
    _FLOWER_SHOT, taken_at=datetime(2024, 3, 29, 6, 50, 12, tzinfo=timezone(timedelta(hours=2))),
    place=Place(31.55900, 35.47320, -430.5),
)  # fmt: skip
_NIGHT_SHOT = replace(
    _PALACE_SHOT, taken_at=datetime(2024, 11, 3, 23, 58, 40, tzinfo=_NEPAL), exposure_time_s=30.0, iso=3200,
    place=Place(27.98806, 86.92528, 5364.0),
)  # fmt: skip


def build_sample_library(folder: Path) -> list[SampleFile]:
    """Write the sample files below ``folder`` and return what they are, in the order of writing.

    Files of the same names are overwritten; other files are left alone. Each file appears whole, under its own name
    at the end, so that a watcher never sees half of one.

    Args:
        folder: Created when it is missing, with its parents.

    Raises:
        SamplePhotosMissingError: A package of the extra ``demo`` is not installed.
        OSError: The folder cannot be written.
    """
    for photo in Photo:  # all or nothing: a half-built library would only confuse
        photo_path(photo)
    written = []
    for sample, recipe in _RECIPES:
        target = folder / sample.name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        partial.write_bytes(recipe(folder))
        partial.replace(target)
        written.append(sample)
    return written


def _jpeg(photo: Photo, shot: Shot | None, size: tuple[int, int], *, seed: int, **options: Any) -> _Recipe:
    return lambda folder: _encode(load_photo(photo, size, grain_seed=seed), "JPEG", photo, shot, quality=90, **options)


def _encode(picture: Image.Image, file_format: str, photo: Photo, shot: Shot | None, **options: Any) -> bytes:
    if shot is not None:
        options["exif"] = exif_bytes(shot, artist=photo.value.credit)
    target = BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


def _rotated_jpeg(folder: Path) -> bytes:
    # Orientation 6 means: turn the stored picture 90 degrees clockwise. So it is stored turned the other way.
    upright = load_photo(Photo.ASTRONAUT, (3024, 4032), grain_seed=3)
    return _encode(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", Photo.ASTRONAUT, _PORTRAIT_SHOT, quality=90)


def _heic(folder: Path) -> bytes:
    import pillow_heif

    target = BytesIO()
    picture = load_photo(Photo.CAT, (2016, 1512), grain_seed=5)
    pillow_heif.from_pillow(picture).save(
        target,
        quality=60,
        exif=exif_bytes(_CAT_SHOT, artist=Photo.CAT.value.credit),
        enc_params={"preset": "ultrafast"},  # x265's default takes 5 s for this picture, this 0.6 s
    )
    return target.getvalue()


def _png_with_alpha(folder: Path) -> bytes:
    cut_out = load_photo(Photo.CAT, (800, 600))
    mask = Image.new("L", cut_out.size)
    ImageDraw.Draw(mask).ellipse((60, 40, 740, 560), fill=255)
    cut_out.putalpha(mask.filter(ImageFilter.GaussianBlur(12)))
    return _encode(cut_out, "PNG", Photo.CAT, None)


def _gray_png(folder: Path) -> bytes:
    return _encode(load_photo(Photo.CAMERAMAN).convert("L"), "PNG", Photo.CAMERAMAN, None)


def _animated_gif(folder: Path) -> bytes:
    wide = load_photo(Photo.COFFEE, (480, 240))
    views = [wide.crop((left, 0, left + 320, 240)) for left in range(0, 160, 12)]
    frames = [view.quantize(128, Image.Quantize.FASTOCTREE) for view in views]
    target = BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:], duration=120, loop=0)
    return target.getvalue()


def _webp(folder: Path) -> bytes:
    picture = load_photo(Photo.FLOWER, (1600, 1067), grain_seed=7)
    return _encode(picture, "WEBP", Photo.FLOWER, _DEAD_SEA_SHOT, quality=80, method=2)


def _tiff(folder: Path) -> bytes:
    # Uncompressed: Pillow writes a compressed TIFF through libtiff, which drops the Exif and GPS directories.
    return _encode(load_photo(Photo.GALAXIES), "TIFF", Photo.GALAXIES, _NIGHT_SHOT, compression="raw")


def _bmp(folder: Path) -> bytes:
    return _encode(load_photo(Photo.COFFEE), "BMP", Photo.COFFEE, None)


def _mp4(folder: Path) -> bytes:
    return encode_pan(
        load_photo(Photo.PALACE, (2160, 1440)),
        "mp4",
        size=(1280, 720),
        duration_s=3.5,
        frame_rate_fps=24,
        created_at=_PALACE_SHOT.taken_at + timedelta(minutes=6),
        tags={"location": "+39.9993+116.2755/"},
    )


def _webm(folder: Path) -> bytes:
    return encode_pan(
        load_photo(Photo.ROCKET, (960, 640)),
        "webm",
        size=(640, 360),
        duration_s=3.0,
        frame_rate_fps=25,
        created_at=_ROCKET_SHOT.taken_at,
    )


def _as_shipped(photo: Photo) -> _Recipe:
    return lambda folder: photo_path(photo).read_bytes()


def _copy_of(name: str, share: float = 1.0) -> _Recipe:
    """Return the first ``share`` of the bytes of a file made earlier."""

    def read(folder: Path) -> bytes:
        content = (folder / name).read_bytes()
        return content[: int(len(content) * share)]

    return read


def _text(folder: Path) -> bytes:
    return "Packing list: passport, charger, sun cream, Müsliriegel.\n".encode() * 8


def _empty(folder: Path) -> bytes:
    return b""


def _accepted(name: str, kind: str, note: str, recipe: _Recipe) -> tuple[SampleFile, _Recipe]:
    return SampleFile(name, kind, "accepted", None, note), recipe


def _rejected(name: str, kind: str, reason: ReasonCode, note: str, recipe: _Recipe) -> tuple[SampleFile, _Recipe]:
    return SampleFile(name, kind, "rejected", reason, note), recipe


_HOLIDAY = "alice/2024 holiday"
_MUNICH_TRIP = "bob/Grüße aus München"

# A copy comes after the file it is a copy of.
_RECIPES: tuple[tuple[SampleFile, _Recipe], ...] = (
    _accepted(f"{_HOLIDAY}/IMG_0001.JPG", "jpeg", "camera, offset +08:00, GPS north and east",
              _jpeg(Photo.PALACE, _PALACE_SHOT, (3000, 2000), seed=1)),
    _accepted(f"{_HOLIDAY}/IMG_0002.JPG", "jpeg", "the next frame, one second later",
              _jpeg(Photo.PALACE, replace(_PALACE_SHOT, taken_at=_PALACE_SHOT.taken_at + timedelta(seconds=1)),
                    (3000, 2000), seed=2)),
    _accepted(f"{_HOLIDAY}/IMG_0001 (copy).JPG", "jpeg", "exact duplicate of the owner's IMG_0001.JPG",
              _copy_of(f"{_HOLIDAY}/IMG_0001.JPG")),
    _accepted(f"{_HOLIDAY}/PXL_20240520_013000.jpg", "jpeg", "12 megapixels, rotated by EXIF (orientation 6)",
              _rotated_jpeg),
    _accepted(f"{_HOLIDAY}/IMG_0117.HEIC", "heic", "phone picture, GPS south and west", _heic),
    _accepted(f"{_HOLIDAY}/Frühstück am Hafen.jpg", "jpeg", "progressive, GPS south and east, umlauts in the name",
              _jpeg(Photo.COFFEE, _COFFEE_SHOT, (2400, 1600), seed=6, progressive=True)),
    _accepted(f"{_HOLIDAY}/Totes Meer.webp", "webp", "taken 430 m below the sea", _webp),
    _accepted(f"{_HOLIDAY}/MVI_0118.mp4", "mp4", "H.264, 3.5 s, creation time and place", _mp4),
    _accepted("alice/astro/deep field.tif", "tiff", "uncompressed, EXIF, offset +05:45, exposed for 30 s", _tiff),
    _accepted("alice/astro/hubble_deep_field.jpg", "jpeg", "exactly as scikit-image ships it",
              _as_shipped(Photo.GALAXIES)),
    _accepted("alice/stickers/cat.png", "png", "transparency", _png_with_alpha),
    _accepted("alice/stickers/coffee.gif", "gif", "animated, 14 frames", _animated_gif),
    _accepted(f"{_MUNICH_TRIP}/DSC_4711.JPG", "jpeg", "macro of a flower",
              _jpeg(Photo.FLOWER, _FLOWER_SHOT, (3000, 2000), seed=8)),
    _accepted(f"{_MUNICH_TRIP}/DSC_4712.JPG", "jpeg", "portrait crop of the same flower",
              _jpeg(Photo.FLOWER, replace(_FLOWER_SHOT, taken_at=_FLOWER_SHOT.taken_at + timedelta(minutes=2)),
                    (1600, 2400), seed=9)),
    _accepted(f"{_MUNICH_TRIP}/Von Alice - Sommerpalast.jpg", "jpeg", "alice's IMG_0001.JPG under another owner",
              _copy_of(f"{_HOLIDAY}/IMG_0001.JPG")),
    _accepted("bob/launch/IMG_2015.jpg", "jpeg", "GPS north and west",
              _jpeg(Photo.ROCKET, _ROCKET_SHOT, (2400, 1600), seed=10)),
    _accepted("bob/launch/tracking camera.webm", "webm", "VP9, 3 s", _webm),
    _accepted("bob/launch/crew.jpg", "jpeg", "no EXIF at all", _jpeg(Photo.ASTRONAUT, None, (1024, 1024), seed=11)),
    _accepted("bob/scans/table.bmp", "bmp", "uncompressed", _bmp),
    _accepted("bob/scans/cameraman.png", "png", "gray", _gray_png),
    _accepted("bob/scans/admiral.jpg", "jpeg", "exactly as Matplotlib ships it", _as_shipped(Photo.ADMIRAL)),
    _accepted("bob/DSC00042.JPG", "jpeg", "old camera: local time without an offset, no GPS",
              _jpeg(Photo.CAT, _OLD_SHOT, (1800, 1200), seed=12)),
    _rejected("bob/launch/IMG_2016.jpg", "jpeg", ReasonCode.TRUNCATED, "the upload stopped half-way",
              _copy_of("bob/launch/IMG_2015.jpg", share=0.55)),
    _rejected("bob/packing list.jpg", "text", ReasonCode.UNSUPPORTED_TYPE, "a text file with the name of a picture",
              _text),
    _rejected(f"{_HOLIDAY}/IMG_0119.JPG", "empty", ReasonCode.EMPTY_FILE, "zero bytes: the card was full", _empty),
)  # fmt: skip


@click.command(help="Write the sample library below FOLDER: about two dozen photos and videos, three of them bad.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Build the library and print one line for each file; exit 1 with a sentence when that is not possible."""
    try:
        samples = build_sample_library(folder)
    except SamplePhotosMissingError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        reason = error.strerror or str(error)
        click.echo(f"Error: {folder} cannot be written ({reason}). Name a folder that you may write to.", err=True)
        sys.exit(1)
    for sample in samples:
        fate = sample.expected if sample.reason_code is None else f"{sample.expected}: {sample.reason_code}"
        click.echo(f"{fate:27}  {sample.kind:5}  {sample.name}  ({sample.note})")
    click.echo(f"{len(samples)} files in {folder}.")


if __name__ == "__main__":
    main()
