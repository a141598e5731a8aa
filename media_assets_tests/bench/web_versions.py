"""How small and how alike web versions are, and what they cost: ``python -m media_assets_tests.bench.web_versions``.

Every picture of a folder is made into web versions, one format at a time, by the code of the product. CPU time is that
of this process: decoding the picture is not in it. Peers encode the same pixels at one quality for all.
"""

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from media_assets.media.decode import decode_picture
from media_assets.media.encode import flatten
from media_assets.media.errors import ContentError
from media_assets.media.limits import Limits
from media_assets.media.picture import DecodedPicture
from media_assets.media.records import FileFacts, Rendition
from media_assets.media.rendering import PictureFormat, RenderOptions
from media_assets.media.resize import WEB_LONGEST_PX
from media_assets.media.sniff import Sniffed, sniff_file
from media_assets.media.ssim import mean_ssim
from media_assets.media.web_pictures import write_web_pictures
from media_assets_tests.bench.machine import describe_machine
from media_assets_tests.bench.photo_corpus import made_photos

FORMATS: tuple[PictureFormat, ...] = ("jpeg", "webp", "avif")
GOAL_SAVED, GOAL_MEAN_SSIM, GOAL_LEAST_SSIM = 0.5, 0.98, 0.95
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Pillow JPEG q85, progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "Pillow WebP q80": ("WEBP", {"quality": 80}),
}
_PACKAGES = ("Pillow", "ajpegli", "opencv-python-headless")
_WORST = 5
_CROP_PX = 320

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """One web version, or what stands for it where none was made.

    Attributes:
        name: The picture, relative to the folder.
        source_bytes: Size of its file.
        size_bytes: Size of the web version; that of the file where there is none.
        ssim: Similarity; 1.0 where there is none.
        cpu_s: CPU time of choosing and writing it.
        megapixels: Of the web version.
        made: Whether there is one.
        is_animated: Whether it is an animation.
        path: The web version, while the run lasts.
    """

    name: str
    source_bytes: int
    size_bytes: int
    ssim: float
    cpu_s: float
    megapixels: float
    made: bool
    is_animated: bool
    path: Path | None = None


@dataclass(frozen=True)
class Picture:
    """A decoded file of the corpus."""

    name: str
    path: Path
    facts: FileFacts
    decoded: DecodedPicture


def pictures(folder: Path) -> Iterator[Picture]:
    """Yield the decodable pictures of a folder, without camera raw files."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not path.stat().st_size:
            continue
        try:
            with path.open("rb") as file:
                sniffed = sniff_file(file)
            if sniffed.media_type != "image" or sniffed.is_raw:
                continue
            decoded = decode_picture(path, sniffed, Limits(), longest_px=WEB_LONGEST_PX)
        except ContentError:
            continue
        yield Picture(str(path.relative_to(folder)), path, _facts(sniffed, decoded), decoded)


def _facts(sniffed: Sniffed, decoded: DecodedPicture) -> FileFacts:
    return FileFacts(
        media_type="image",
        mime_type=sniffed.mime_type,
        format="apng" if sniffed.format == "png" and decoded.is_animated else sniffed.format,
        extension=sniffed.extension,
        width_px=decoded.width_px,
        height_px=decoded.height_px,
        orientation=decoded.orientation,
        duration_s=decoded.duration_s,
        frame_count=decoded.frame_count,
    )


def ours(picture: Picture, format_name: PictureFormat, scratch: Path, target: float | None) -> Made:
    """Make one web version of one picture."""
    options = RenderOptions(optimized_formats=(format_name,), **({} if target is None else {"optimized_ssim": target}))
    scratch.mkdir()
    start = time.process_time()
    found = write_web_pictures(picture.path, picture.facts, picture.decoded, scratch, options, [])
    cpu_s = time.process_time() - start
    rendition: Rendition | None = next(iter(found), None)
    source_bytes = picture.path.stat().st_size
    return Made(
        name=picture.name,
        source_bytes=source_bytes,
        size_bytes=rendition.size_bytes if rendition else source_bytes,
        ssim=1.0 if rendition is None or rendition.ssim is None else rendition.ssim,
        cpu_s=cpu_s,
        megapixels=picture.decoded.picture.width * picture.decoded.picture.height / 1e6,
        made=rendition is not None,
        is_animated=picture.decoded.is_animated,
        path=None if rendition is None else scratch / rendition.file_name,
    )


def peer(picture: Picture, encode: Callable[[Image.Image], bytes]) -> Made:
    """Encode the same pixels at one quality."""
    shown = Image.fromarray(flatten(np.asarray(picture.decoded.picture), "#ffffff"))
    start = time.process_time()
    data = encode(shown)
    cpu_s = time.process_time() - start
    with Image.open(io.BytesIO(data)) as image:
        ssim = mean_ssim(np.asarray(shown), np.asarray(image.convert(shown.mode)))
    megapixels = shown.width * shown.height / 1e6
    return Made(picture.name, picture.path.stat().st_size, len(data), ssim, cpu_s, megapixels, True, False)


def _encoder(format_name: str, options: dict[str, Any]) -> Callable[[Image.Image], bytes]:
    def encode(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format_name, **options)
        return buffer.getvalue()

    return encode


def summary(made: Sequence[Made]) -> dict[str, Any]:
    """Return what the table shows of one format."""
    stills = [one for one in made if not one.is_animated]
    before, after = sum(one.source_bytes for one in stills), sum(one.size_bytes for one in stills)
    by_ssim = sorted(stills, key=lambda one: one.ssim)
    by_size = sorted(stills, key=lambda one: one.source_bytes / one.size_bytes)
    slowest = max(made, key=lambda one: one.cpu_s)
    return {
        "files": len(stills),
        "without": sum(not one.made for one in stills),
        "bytes_before": before,
        "bytes_after": after,
        "saved": 1 - after / before,
        "ssim_mean": float(np.mean([one.ssim for one in stills])),
        "ssim_least": by_ssim[0].ssim,
        "cpu_ms_per_megapixel": 1000 * sum(one.cpu_s for one in stills) / sum(one.megapixels for one in stills),
        "cpu_s_slowest": [round(slowest.cpu_s, 2), slowest.name],
        "worst_by_ssim": [[one.name, one.ssim] for one in by_ssim[:_WORST]],
        "worst_by_size": [[one.name, one.size_bytes, one.source_bytes] for one in by_size[:_WORST]],
    }


def _said(name: str, found: dict[str, Any]) -> str:
    megabytes = f"{found['bytes_before'] / 1e6:7.1f} -> {found['bytes_after'] / 1e6:6.1f} MB"
    alike = f"SSIM mean {found['ssim_mean']:.4f} least {found['ssim_least']:.4f}"
    cost = f"{found['cpu_ms_per_megapixel']:5.0f} CPU ms/MP, slowest {found['cpu_s_slowest']}"
    files = f"{found['files']:4} files ({found['without']} without)"
    return f"{name:30} {files}, {megabytes}, saved {100 * found['saved']:5.1f} %, {alike}, {cost}"


# ------------------------------------------------------------------------------------------------------ contact sheet


def crops(picture: Picture, path: Path) -> Image.Image:
    """Return source and result at 1:1, side by side, where they differ most."""
    source = flatten(np.asarray(picture.decoded.picture), "#ffffff")
    with Image.open(path) as image:
        mode = picture.decoded.picture.mode
        shown = flatten(np.asarray(image.convert(mode)), "#ffffff")
    left, top = _worst_place(source, shown)
    box = (left, top, left + _CROP_PX, top + _CROP_PX)
    pair = Image.new("RGB", (2 * _CROP_PX + 4, _CROP_PX + 14), "white")
    for place, pixels in enumerate((source, shown)):
        pair.paste(Image.fromarray(pixels).convert("RGB").crop(box), (place * (_CROP_PX + 4), 14))
    ImageDraw.Draw(pair).text((2, 1), f"{picture.name[-40:]} | {path.suffix} {path.stat().st_size}", fill="black")
    return pair


def _worst_place(source: Pixels, shown: Pixels) -> tuple[int, int]:
    height, width = source.shape[:2]
    places = [
        (left, top)
        for top in range(0, max(1, height - _CROP_PX + 1), _CROP_PX // 2)
        for left in range(0, max(1, width - _CROP_PX + 1), _CROP_PX // 2)
    ]

    def alike(place: tuple[int, int]) -> float:
        left, top = place
        part = np.s_[top : top + _CROP_PX, left : left + _CROP_PX]
        return mean_ssim(np.ascontiguousarray(source[part]), np.ascontiguousarray(shown[part]))

    return min(places, key=alike)


def _write_sheet(pairs: Sequence[Image.Image], path: Path) -> None:
    across = 2
    sheet = Image.new("RGB", (across * (pairs[0].width + 8), -(-len(pairs) // across) * (pairs[0].height + 8)), "grey")
    for number, pair in enumerate(pairs):
        sheet.paste(pair, (number % across * (pair.width + 8), number // across * (pair.height + 8)))
    sheet.save(path)


# ------------------------------------------------------------------------------------------------------------ command


@click.command()
@click.option("--corpus", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with pictures.")
@click.option("--target", type=float, help="SSIM to reach, in place of the default.")
@click.option("--sheet", type=click.Path(file_okay=False, path_type=Path), help="Folder for sheets of the worst.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="All figures as JSON.")
def main(corpus: Path | None, target: float | None, sheet: Path | None, json_path: Path | None) -> None:
    """Measure web versions of every picture; exits with 1 when a goal is missed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    click.echo(describe_machine(_PACKAGES))
    made: dict[str, list[Made]] = {name: [] for name in (*FORMATS, *PEERS)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = corpus or Path(temporary) / "made"
        if corpus is None:
            made_photos(folder)
        for number, picture in enumerate(pictures(folder)):
            for name in FORMATS:
                made[name].append(ours(picture, name, Path(temporary) / f"{number}-{name}", target))
            if not picture.decoded.is_animated:
                for name, (format_name, options) in PEERS.items():
                    made[name].append(peer(picture, _encoder(format_name, options)))
        figures = {name: summary(found) for name, found in made.items()}
        if sheet is not None:
            sheet.mkdir(parents=True, exist_ok=True)
            by_name = {picture.name: picture for picture in pictures(folder)}
            for name in FORMATS:
                _sheet_of_format(name, made[name], by_name, sheet)
    for name, found in figures.items():
        click.echo(_said(name, found))
    for name in FORMATS:
        for worst in ("worst_by_ssim", "worst_by_size"):
            click.echo(f"{name}, {worst.replace('_', ' ')}: {figures[name][worst]}")
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=1), "utf-8")
    sys.exit(0 if all(_is_reached(figures[name]) for name in FORMATS) else 1)


def _sheet_of_format(name: str, made: Sequence[Made], by_name: dict[str, Picture], folder: Path) -> None:
    lossy = [one for one in made if one.path is not None and one.ssim < 1 and not one.is_animated]
    by_ssim = sorted(lossy, key=lambda one: one.ssim)[:_WORST]
    by_size = sorted(lossy, key=lambda one: one.size_bytes / one.source_bytes)[:_WORST]
    pairs = [crops(by_name[one.name], one.path) for one in (*by_ssim, *by_size) if one.path is not None]
    if pairs:
        _write_sheet(pairs, folder / f"web-{name}.png")


def _is_reached(found: dict[str, Any]) -> bool:
    return bool(
        found["saved"] >= GOAL_SAVED and found["ssim_mean"] >= GOAL_MEAN_SSIM and found["ssim_least"] >= GOAL_LEAST_SSIM
    )


if __name__ == "__main__":
    main()
