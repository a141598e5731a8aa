"""12-megapixel camera JPEGs for benchmarks: found in a folder, or made in code; more of them by copies.

Made from the sample photos that scikit-image ships: enlarged, then given detail at several scales and grain, so that
the spectrum falls as that of a photo and a file is as large, and as slow to decode, as one from a camera.
"""

import shutil
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IFDRational

from media_assets.demo.photos import Photo, load_photo

SIZE = (4032, 3024)
MADE = 12
_MEGAPIXELS = (11.0, 13.0)
_PHOTOS = (Photo.ASTRONAUT, Photo.CAT, Photo.COFFEE, Photo.ROCKET, Photo.GALAXIES)
_OCTAVES = (2, 4, 8, 16)
_DETAIL_LEVELS = 7.0
_ORIENTATIONS = (1, 1, 1, 6, 8, 3)
_DEFINE_QUANTIZATION_TABLE = b"\xff\xdb"


def photos(corpus: Path | None, count: int, folder: Path, cache: Path) -> tuple[list[Path], str]:
    """Return ``count`` different files in ``folder``, and what they are, in words.

    Args:
        corpus: Folder with JPEGs of 11 to 13 megapixels, at any depth; ``None`` makes some.
        count: Number of files. Where there are not enough, copies get a JPEG comment: other bytes, another hash, the
            same work.
        folder: Empty folder for the files, named ``IMG_0000.jpg`` and so on.
        cache: Where made photos are kept from one call to the next.

    Raises:
        FileNotFoundError: The corpus has no such JPEG.
    """
    if corpus is None:
        found, what = made_photos(cache), "made from sample photos of scikit-image"
    else:
        found, what = [path for path in sorted(corpus.rglob("*.[jJ][pP]*[gG]")) if _is_camera_jpeg(path)], str(corpus)
    if not found:
        raise FileNotFoundError(f"{corpus} has no JPEGs of 11 to 13 megapixels. Name another folder.")
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        source, path = found[number % len(found)], folder / f"IMG_{number:04d}.jpg"
        if number < len(found):
            shutil.copyfile(source, path)
        else:
            path.write_bytes(with_comment(source.read_bytes(), f"copy {number // len(found)}".encode()))
        paths.append(path)
    copies = max(0, count - len(found))
    said = f"{count} JPEGs of 12 megapixels ({what})"
    return paths, said + (f", {copies} of them copies with another JPEG comment" if copies else "")


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """Return the JPEG with a comment segment behind its APP segments; nothing else changes."""
    place = jpeg.index(_DEFINE_QUANTIZATION_TABLE)
    return jpeg[:place] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[place:]


def _is_camera_jpeg(path: Path) -> bool:
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            return _MEGAPIXELS[0] <= image.width * image.height / 1e6 <= _MEGAPIXELS[1]
    except (UnidentifiedImageError, OSError):
        return False


def made_photos(cache: Path) -> list[Path]:
    """Return ``MADE`` photos in ``cache``, made if they are not there yet; the same pixels at each call."""
    cache.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as executor:
        return list(executor.map(partial(_made, cache), range(MADE)))


def _made(cache: Path, number: int) -> Path:
    path = cache / f"photo-{number:02d}.jpg"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        make_photo(number).save(unfinished, "JPEG", quality=90, subsampling="4:2:0", exif=_exif(number))
        unfinished.replace(path)
    return path


def make_photo(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a seeded photo-like picture.

    The power spectrum falls with about the square of the frequency down to the grain, as that of photos does (Field,
    1987): every octave of detail has the same energy. There is more of it where the photo itself has contrast.
    """
    width, height = size
    random = np.random.default_rng(number)
    photo = load_photo(_PHOTOS[number % len(_PHOTOS)], size)
    if random.integers(2):
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(photo).astype(np.float32)
    small = np.asarray(photo.convert("L").resize((width // 16, height // 16), Image.Resampling.BOX), np.float32)
    contrast = np.abs(np.gradient(small)).sum(axis=0)
    busy = _enlarged(np.clip(0.3 + contrast / 12, 0, 1.6).astype(np.float32), size)
    detail = np.zeros((height, width), np.float32)
    for octave in _OCTAVES:
        noise = random.standard_normal((height // octave, width // octave)).astype(np.float32)
        detail += _DETAIL_LEVELS * _enlarged(noise, size)
    detail *= busy
    detail += random.normal(0, 3.0, (height, width)).astype(np.float32)
    pixels += detail[:, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _enlarged(values: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))


def _exif(number: int) -> Image.Exif:
    """What a phone writes: camera, time, exposure, position."""
    taken = (datetime(2023, 5, 1, 9, 0) + timedelta(hours=7 * number)).strftime("%Y:%m:%d %H:%M:%S")  # noqa: DTZ001 - wall time
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Example", "Bench 12", taken
    exif[0x0112] = _ORIENTATIONS[number % len(_ORIENTATIONS)]
    photo = exif.get_ifd(0x8769)
    photo[0x9003], photo[0x9011], photo[0x8827] = taken, "+02:00", 100
    photo[0x829A], photo[0x829D], photo[0x920A] = IFDRational(1, 250), IFDRational(18, 10), IFDRational(57, 10)
    position = exif.get_ifd(0x8825)
    position[0] = b"\x02\x03\x00\x00"
    position[1], position[2] = "N", (IFDRational(48), IFDRational(51), IFDRational(29 + number))
    position[3], position[4] = "E", (IFDRational(2), IFDRational(17), IFDRational(40))
    return exif
