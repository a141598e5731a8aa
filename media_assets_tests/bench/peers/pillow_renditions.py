"""Five renditions with Pillow: as tutorials show it, and as somebody does it who has read the manual."""

from pathlib import Path

from PIL import Image, ImageOps

SIZES = (1600, 1200, 600, 300, 150)


def fitted(size: tuple[int, int], box: int) -> tuple[int, int]:
    """Size of a picture that fits into a square box; never larger than the picture."""
    scale = min(1.0, box / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def write_as_tutorials_do(source: Path, folder: Path) -> dict[int, Path]:
    """Open, turn upright, resize and save: once for every size."""
    written = {}
    for box in SIZES:
        with Image.open(source) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        picture = picture.resize(fitted(picture.size, box), Image.Resampling.LANCZOS)
        written[box] = folder / f"{source.stem}-{box}.jpg"
        picture.save(written[box], "JPEG", quality=85, optimize=True, progressive=True, exif=b"")
    return written


def write_with_draft(source: Path, folder: Path) -> dict[int, Path]:
    """Decode once at a half or a quarter (``draft``), then resize from size to size."""
    written = {}
    with Image.open(source) as opened:
        full = opened.size
        # The box that the picture fits into, not a square: else libjpeg decodes it at full size.
        opened.draft("RGB", fitted(full, SIZES[0]))
        picture = opened.resize(fitted(full, SIZES[0]), Image.Resampling.LANCZOS, reducing_gap=2.0)
        picture.info["exif"] = opened.info.get("exif", b"")
    picture = ImageOps.exif_transpose(picture).convert("RGB")
    for box in SIZES:
        if max(picture.size) > box:
            picture = picture.resize(fitted(picture.size, box), Image.Resampling.LANCZOS, reducing_gap=2.0)
        written[box] = folder / f"{source.stem}-{box}.jpg"
        picture.save(written[box], "JPEG", quality=85, optimize=True, progressive=True, exif=b"")
    return written
