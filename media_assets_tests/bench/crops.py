"""How well squares are cut: ``python -m media_assets_tests.bench.crops --vision FOLDER [--models FOLDER]``.

Photos with labelled faces and objects, as they are and cut to long strips, against the middle, libvips and smartcrop.py
(when it is installed). Every figure is given for two halves of the photos: a choice made on one must hold on the other.
Photos and labels are no part of the repository.
"""

import json
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from media_assets.media.crop import Box, FaceFinder, choose_square
from media_assets.models.faces import load_face_finder

_LONGEST_PX = 640
_LEAST_FACE = 1 / 20  # of the longest side, the least that detectors look for
_MOST_OBJECT = 0.6  # of the picture: what is everywhere says nothing about a place
_STRIP = 1.9  # length of the strips that are cut from photos, in widths
_SHEET_COLUMNS, _SHEET_CELL_PX = 4, 220

_Picture = NDArray[np.uint8]
_Method = Callable[[_Picture], int]


@dataclass(frozen=True)
class Case:
    """A picture with what is known of it.

    Attributes:
        name: Path of the photo, and its form.
        half: 0 or 1.
        picture: RGB, at most 640 px.
        faces: Labelled faces.
        objects: Labelled objects.
        is_exhaustive: All faces are labelled.
    """

    name: str
    half: int
    picture: _Picture
    faces: tuple[Box, ...]
    objects: tuple[Box, ...]


def _cases(vision: Path) -> Iterator[Case]:
    for line in (vision / "MANIFEST.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["task"] not in ("face_det", "objects"):
            continue
        image = ImageOps.exif_transpose(Image.open(vision / entry["path"])).convert("RGB")
        image.thumbnail((_LONGEST_PX, _LONGEST_PX))
        scale = image.width / entry["width"]
        faces = [_scaled(box, scale) for box in entry["labels"].get("faces", [])]
        faces += [_scaled(_face_around(points), scale) for points in entry["labels"].get("face_points", [])]
        objects = [_scaled(box[1:5], scale) for box in entry["labels"].get("objects", [])]
        half = zlib.crc32(entry["path"].encode()) & 1
        for form, window in (("whole", (0, 0, image.width, image.height)), *_strips(image.width, image.height)):
            x, y, right, bottom = window
            if right - x == bottom - y:
                continue
            inside = [_inside(box, window) for box in faces]
            yield Case(
                f"{entry['path']} {form}",
                half,
                np.ascontiguousarray(np.asarray(image)[y:bottom, x:right]),
                tuple(box for box in inside if box and _size(box) >= _LEAST_FACE * max(right - x, bottom - y)),
                tuple(box for box in (_inside(box, window) for box in objects) if box and _is_something(box, window)),
            )


def _strips(width: int, height: int) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Yield a wide and a tall strip from the middle of a picture, if it has that form already or nearly."""
    if width >= height:
        strip = min(height, round(width / _STRIP))
        yield "wide", (0, (height - strip) // 2, width, (height + strip) // 2)
    if height >= width:
        strip = min(width, round(height / _STRIP))
        yield "tall", ((width - strip) // 2, 0, (width + strip) // 2, height)


def _face_around(points: Sequence[float]) -> Sequence[float]:
    """Return about the box of a face by nose and eyes: twice as wide as it is between the eyes."""
    nose_x, nose_y, *eyes = points
    span = max(np.hypot(eyes[0] - eyes[2], eyes[1] - eyes[3]), np.hypot(nose_x - eyes[0], nose_y - eyes[1])) * 1.1
    return nose_x - span, nose_y - 1.3 * span, nose_x + span, nose_y + 1.1 * span


def _scaled(box: Sequence[float], scale: float) -> Box:
    x_min, y_min, x_max, y_max = (value * scale for value in box)
    return x_min, y_min, x_max, y_max


def _inside(box: Box, window: Sequence[int]) -> Box | None:
    """Return the part of a box in a window, in its pixels; ``None`` when less than half of it is there."""
    x, y, right, bottom = window
    part = (max(box[0], x) - x, max(box[1], y) - y, min(box[2], right) - x, min(box[3], bottom) - y)
    is_there = part[2] > part[0] and part[3] > part[1] and _area(part) >= 0.5 * _area(box)
    return part if is_there else None


def _is_something(box: Box, window: Sequence[int]) -> bool:
    return _area(box) < _MOST_OBJECT * (window[2] - window[0]) * (window[3] - window[1])


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _size(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


# ------------------------------------------------------------------------------------------------------------- methods


def _ours(find_faces: FaceFinder | None) -> _Method:
    def offset(picture: _Picture) -> int:
        square = choose_square(picture, find_faces)
        return square.x_px + square.y_px

    return offset


def _middle(picture: _Picture) -> int:
    return abs(picture.shape[1] - picture.shape[0]) // 2


def _vips(interesting: str) -> _Method:
    import pyvips

    def offset(picture: _Picture) -> int:
        height, width = picture.shape[:2]
        image = pyvips.Image.new_from_memory(picture.tobytes(), width, height, 3, "uchar")
        side = min(width, height)
        cut = image.smartcrop(side, side, interesting=interesting)
        cut.avg()
        return int(-cut.xoffset - cut.yoffset)

    return offset


def _smartcrop_py() -> _Method | None:
    try:
        from smartcrop import SmartCrop
    except ImportError:
        return None
    finder = SmartCrop()

    def offset(picture: _Picture) -> int:
        height, width = picture.shape[:2]
        side = min(width, height)
        found = finder.crop(Image.fromarray(picture), side, side, min_scale=1.0)["top_crop"]
        return min(int(found["x"] + found["y"]), max(width, height) - side)

    return offset


# ------------------------------------------------------------------------------------------------------------- figures


def _shares(boxes: Sequence[Box], picture: _Picture, offset: int) -> tuple[float, int, int]:
    """Return the share of the area of boxes that a square keeps, and how many boxes are cut and left out."""
    height, width = picture.shape[:2]
    side, first = min(width, height), 1 if height > width else 0
    kept = whole = 0.0
    cut = out = 0
    for box in boxes:
        length = box[first + 2] - box[first]
        shown = max(0.0, min(box[first + 2], offset + side) - max(box[first], offset))
        kept += _area(box) * shown / length
        whole += _area(box)
        cut += 0.02 * length < shown < 0.98 * length
        out += shown <= 0.02 * length
    return kept / whole, cut, out


def _best(cases: Sequence[Case]) -> dict[int, int]:
    """Return the places that show most of what is labelled, by the identity of the picture."""
    places = {}
    for case in cases:
        boxes = case.faces or case.objects
        room = abs(case.picture.shape[1] - case.picture.shape[0])
        places[id(case.picture)] = (
            max(range(room + 1), key=lambda at: _shares(boxes, case.picture, at)[0]) if boxes else _middle(case.picture)
        )
    return places


def _row(name: str, method: _Method, cases: Sequence[Case]) -> tuple[str, list[int]]:
    offsets, took = [], []
    for case in cases:
        before = time.process_time()
        offsets.append(method(case.picture))
        took.append((time.process_time() - before) * 1000)
    columns = []
    for kind in ("faces", "objects"):
        for half in (0, 1):
            shares = [
                _shares(getattr(case, kind), case.picture, offset)
                for case, offset in zip(cases, offsets, strict=True)
                if case.half == half and getattr(case, kind) and (kind == "faces" or not case.faces)
            ]
            columns.append(f"{statistics.mean(share for share, _, _ in shares):7.3f}")
            if kind == "faces":
                columns.append(f"{sum(cut for _, cut, _ in shares):4d} {sum(out for _, _, out in shares):4d}")
    return f"{name:<22} {' '.join(columns)} {statistics.median(took):8.1f}", offsets


def _sheet(cases: Sequence[Case], offsets: Sequence[int], folder: Path) -> None:
    """Write pages of pictures with our square (green) and the middle one (red), and labelled faces."""
    folder.mkdir(parents=True, exist_ok=True)
    per_page = _SHEET_COLUMNS * 5
    for page, start in enumerate(range(0, len(cases), per_page)):
        rows = list(zip(cases, offsets, strict=True))[start : start + per_page]
        cell = _SHEET_CELL_PX
        sheet = Image.new("RGB", (_SHEET_COLUMNS * (2 * cell + 12), 5 * (cell + 14)), "white")
        for index, (case, offset) in enumerate(rows):
            left, top = index % _SHEET_COLUMNS * (2 * cell + 12), index // _SHEET_COLUMNS * (cell + 14)
            picture, middle = case.picture, _middle(case.picture)
            image = Image.fromarray(picture)
            draw = ImageDraw.Draw(image)
            for box in case.faces:
                draw.rectangle(box, outline="yellow", width=2)
            for begin, color in ((middle, "red"), (offset, "lime")):
                draw.rectangle(_square(picture, begin), outline=color, width=4)
            image.thumbnail((cell, cell))
            ours = Image.fromarray(picture).crop(_square(picture, offset)).resize((cell, cell))
            sheet.paste(image, (left, top))
            sheet.paste(ours, (left + cell + 4, top))
            ImageDraw.Draw(sheet).text((left, top + cell), case.name[-36:], fill="black")
        sheet.save(folder / f"crops-{page:02d}.png")


def _square(picture: _Picture, offset: int) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    side = min(width, height)
    x, y = (0, offset) if height > width else (offset, 0)
    return x, y, x + side, y + side


@click.command()
@click.option(
    "--vision", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of labelled photos."
)
@click.option("--models", type=click.Path(path_type=Path, exists=True), help="Folder that holds YuNet.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Folder for contact sheets of our squares.")
def main(vision: Path, models: Path | None, sheet: Path | None) -> None:
    """Print how much each method keeps of labelled faces, and of labelled objects where no face is labelled."""
    cases = list(_cases(vision))
    methods: dict[str, Any] = {"ours, mtcnn": _ours(load_face_finder().find), "ours, no faces": _ours(None)}
    if models is not None:
        methods["ours, yunet"] = _ours(load_face_finder(models).find)
    methods |= {"middle": _middle, "libvips attention": _vips("attention"), "libvips entropy": _vips("entropy")}
    methods["smartcrop.py"] = _smartcrop_py()
    best = _best(cases)
    methods["best possible"] = lambda picture: best[id(picture)]
    faces, objects = sum(bool(case.faces) for case in cases), sum(bool(case.objects) for case in cases)
    print(f"{len(cases)} pictures, {faces} with faces, {objects} with objects; CPU time of this process, median")
    print(f"{'':<22} {'faces A  cut  out':>17} {'faces B  cut  out':>17} obj A   obj B    CPU ms")
    for name, method in methods.items():
        if method is None:
            print(f"{name:<22} not installed")
            continue
        row, offsets = _row(name, method, cases)
        print(row)
        if sheet is not None and name == "ours, mtcnn":
            chosen = [index for index, case in enumerate(cases) if abs(offsets[index] - _middle(case.picture)) > 8]
            _sheet([cases[index] for index in chosen], [offsets[index] for index in chosen], sheet)


if __name__ == "__main__":
    main()
