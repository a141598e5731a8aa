"""Real photos that installed packages ship, brought to the sizes that cameras write.

Reads files of scikit-image, scikit-learn and matplotlib without importing these packages (that would cost seconds).
Knows nothing of EXIF, file names or formats: ``media_assets.demo.sample_library`` decides those.
"""

import importlib.util
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

_GRAIN_LEVELS = 5


class SamplePhotosMissingError(RuntimeError):
    """A package of the extra ``demo``, or the photo expected in it, is not installed."""


@dataclass(frozen=True)
class PhotoSource:
    """Where a photo lies inside an installed package, and whose it is.

    Attributes:
        distribution: Name to install, for error messages.
        package: Import name.
        location: Path below the package's folder, with forward slashes.
        credit: Photographer and licence, as the package states them.
    """

    distribution: str
    package: str
    location: str
    credit: str


class Photo(Enum):
    """The photos used; all are in the public domain or under a Creative Commons licence that allows changes."""

    ASTRONAUT = PhotoSource("scikit-image", "skimage", "data/astronaut.png", "NASA, public domain")
    CAMERAMAN = PhotoSource("scikit-image", "skimage", "data/camera.png", "Lav Varshney, CC0")
    CAT = PhotoSource("scikit-image", "skimage", "data/chelsea.png", "Stefan van der Walt, CC0")
    COFFEE = PhotoSource("scikit-image", "skimage", "data/coffee.png", "Rachel Michetti, CC0")
    GALAXIES = PhotoSource("scikit-image", "skimage", "data/hubble_deep_field.jpg", "NASA, public domain")
    ROCKET = PhotoSource("scikit-image", "skimage", "data/rocket.jpg", "SpaceX, CC0")
    FLOWER = PhotoSource("scikit-learn", "sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0")
    PALACE = PhotoSource("scikit-learn", "sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0")
    ADMIRAL = PhotoSource(
        "matplotlib", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "U.S. Navy, public domain"
    )


def photo_path(photo: Photo) -> Path:
    """Return where the installed package keeps the photo.

    Raises:
        SamplePhotosMissingError: The package, or this file of it, is not installed.
    """
    source = photo.value
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise SamplePhotosMissingError(
            f"The sample photos come from installed packages, and {source.distribution} is not installed. "
            "Install the extra with: pip install 'media_assets[demo]'"
        )
    path = Path(spec.submodule_search_locations[0], *source.location.split("/"))
    if not path.is_file():
        raise SamplePhotosMissingError(
            f"The installed {source.distribution} does not ship {path.name}. "
            "Install the tested versions with: pip install -c constraints.txt 'media_assets[demo]'"
        )
    return path


def load_photo(photo: Photo, size: tuple[int, int] | None = None, *, grain_seed: int | None = None) -> Image.Image:
    """Return the photo as an RGB picture, cropped around its centre and scaled to ``size``.

    Args:
        photo: Which one.
        size: Width and height in pixels; ``None`` keeps the shipped size.
        grain_seed: Adds sensor-like grain, which an enlarged picture lacks: without it a camera-sized JPEG would be
            several times smaller, and faster to decode, than one from a camera. The same seed gives the same grain.

    Raises:
        SamplePhotosMissingError: The package that ships the photo is not installed.
    """
    with Image.open(photo_path(photo)) as shipped:
        picture = shipped.convert("RGB")
    if size is not None:
        picture = ImageOps.fit(picture, size, Image.Resampling.BICUBIC)
    return picture if grain_seed is None else _with_grain(picture, grain_seed)


def _with_grain(picture: Image.Image, seed: int) -> Image.Image:
    pixels = np.asarray(picture).astype(np.int16)
    grain = np.random.default_rng(seed).integers(
        -_GRAIN_LEVELS, _GRAIN_LEVELS, size=(*pixels.shape[:2], 1), dtype=np.int16, endpoint=True
    )
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
