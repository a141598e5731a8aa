"""What is drawn on previews."""

import io
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data

from media_assets.media import annotate as module
from media_assets.media.annotate import Mark, annotate, annotate_frames, color_of

GRAY: NDArray[np.uint8] = np.full((300, 400, 3), 128, np.uint8)
PHOTO: NDArray[np.uint8] = data.astronaut()


def opened(content: bytes) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "WEBP"
        return np.asarray(picture.convert("RGB"), np.int16)


def touched(content: bytes, plain: NDArray[np.uint8] = GRAY) -> NDArray[np.bool_]:
    """Where something was drawn on a plain picture of the same size."""
    return np.asarray(np.abs(opened(content) - plain).max(axis=2) > 40)


def is_near(pixel: NDArray[np.int16], color: tuple[int, int, int], tolerance: int = 60) -> bool:
    return bool(np.abs(pixel - np.array(color)).max() < tolerance)


def test_the_box_has_the_colour_of_its_label_and_is_where_it_belongs() -> None:
    drawn = opened(annotate(GRAY, [Mark((100, 100, 300, 200), "dog", 0.9)], max_bytes=10**6))
    for x, y in ((101, 150), (299, 150), (200, 199)):
        assert is_near(drawn[y, x], color_of("dog"), 80)  # WebP has colours at half size
    assert is_near(drawn[150, 200], (128, 128, 128), 12)
    assert is_near(drawn[250, 50], (128, 128, 128), 12)


def test_boxes_are_scaled_with_the_picture() -> None:
    large = np.full((1200, 1600, 3), 128, np.uint8)
    drawn = opened(annotate(large, [Mark((400, 400, 1200, 800), "", None)], longest_px=400))
    assert drawn.shape == (300, 400, 3)
    rows, columns = np.nonzero(np.abs(drawn - 128).max(axis=2) > 40)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((100, 200, 100, 300), abs=2)


def test_nothing_is_enlarged() -> None:
    assert opened(annotate(np.full((30, 40, 3), 128, np.uint8), [])).shape == (30, 40, 3)


def test_a_label_is_written_on_its_ground() -> None:
    with_label = touched(annotate(GRAY, [Mark((100, 100, 300, 200), "person", 0.9)], max_bytes=10**6))
    without = touched(annotate(GRAY, [Mark((100, 100, 300, 200), "", None)], max_bytes=10**6))
    label = with_label[85:99, 100:160]
    assert label.mean() > 0.7
    assert not without[80:98].any()


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 400, 300),
        (-50, -50, 30, 20),
        (380, 280, 900, 900),
        (0, 0, 5, 5),
        (399, 299, 399, 299),
        (150, 0, 160, 300),
    ],
)
def test_labels_stay_inside(box: tuple[float, float, float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[tuple[float, float, float, float] | None] = []
    place = module._Lettering.place

    def noted(*arguments: object) -> object:
        places.append(place(*arguments))  # type: ignore[arg-type]
        return places[-1]

    monkeypatch.setattr(module._Lettering, "place", noted)
    annotate(GRAY, [Mark(box, "traffic light", 0.5)])
    assert places[0] is not None
    left, top, right, bottom = places[0]
    assert 0 <= left < right <= 400
    assert 0 <= top < bottom <= 300


@pytest.mark.parametrize(
    "box",
    [
        (500, 10, 600, 20), (-30, -30, -1, -1), (float("nan"), 0, 10, 10), (0, 0, float("inf"), 9), (50, 50, 20, 60),
    ],
)  # fmt: skip
def test_what_is_not_in_the_picture_is_not_drawn(box: tuple[float, float, float, float]) -> None:
    assert not touched(annotate(GRAY, [Mark(box, "x", 0.5)])).any()


def test_labels_do_not_hide_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[float, float, float, float]] = []
    write = module._Lettering.write

    def noted(
        self: module._Lettering, draw: ImageDraw.ImageDraw, text: str, place: module.Box, ground: module.Color
    ) -> None:
        written.append(place)
        write(self, draw, text, place, ground)

    monkeypatch.setattr(module._Lettering, "write", noted)
    marks = [Mark((100 + 3 * n, 100, 250, 200), f"label {n}", 0.9 - n / 100) for n in range(10)]
    annotate(GRAY, marks, max_bytes=10**6)
    assert len(written) >= 4
    for number, one in enumerate(written):
        assert not any(module._overlap(one, other) for other in written[:number])


def test_the_surest_is_on_top() -> None:
    box = (100, 100, 300, 200)
    marks = [Mark(box, "cat", 0.9), Mark(box, "dog", 0.2)]
    assert color_of("cat") != color_of("dog")
    for order in (marks, marks[::-1]):
        assert is_near(opened(annotate(GRAY, order, max_bytes=10**6))[150, 101], color_of("cat"))


def test_polygons_and_points() -> None:
    polygon = ((100.0, 100.0), (300.0, 140.0), (300.0, 200.0), (100.0, 160.0))
    mark = Mark((100, 100, 300, 200), "", None, polygon=polygon, points=((50, 250),))
    drawn = touched(annotate(GRAY, [mark], max_bytes=10**6))
    assert drawn[119:122, 200].any()
    assert not drawn[100:105, 200].any()
    assert drawn[248:253, 48:53].any()


def test_colours_are_the_same_in_every_process() -> None:
    program = "from media_assets.media.annotate import color_of; print(*map(color_of, ('person', 'dog', 'tree')))"
    found = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    )
    assert found.stdout == " ".join(str(color_of(label)) for label in ("person", "dog", "tree")) + "\n"


def test_sixty_boxes_are_small_enough() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 400, (60, 2))
    marks = [Mark((x, y, x + 60, y + 50), ["person", "car"][n % 2], 0.3 + n / 100) for n, (x, y) in enumerate(corners)]
    content = annotate(PHOTO, marks)
    assert len(content) <= 12_000
    assert max(opened(content).shape) >= 240


def test_a_picture_that_cannot_be_small_enough_is_drawn_all_the_same() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    assert opened(annotate(noise, [], max_bytes=100)).shape == (120, 160, 3)


def test_bytes_of_a_rendition_will_do() -> None:
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG", quality=95)
    mark = Mark((150, 20, 300, 200), "", 0.9)
    from_file, from_pixels = opened(annotate(buffer.getvalue(), [mark])), opened(annotate(PHOTO, [mark]))
    assert from_file.shape == from_pixels.shape
    assert np.abs(from_file - from_pixels).mean() < 6


def test_letters_that_the_font_lacks_are_question_marks() -> None:
    lettering = module._Lettering(12)
    assert lettering._shown("dog 90%") == "dog 90%"
    assert lettering._shown("\U0010fffd") in {"?", ""}


def test_without_a_font_of_the_system_letters_are_brought_down_to_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FONTS", ())
    module._font.cache_clear()
    try:
        assert module._Lettering(12)._shown("Tür \N{MULTIPLICATION SIGN}") == "Tur ?"
        assert len(annotate(GRAY, [Mark((10, 30, 100, 90), "Tür", 0.5)])) > 0
    finally:
        module._font.cache_clear()


def test_frames_of_a_video_in_one_picture() -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (1, 1, 1)]
    frames = [(np.full((90, 160, 3), color, np.uint8), 61.5 * n, []) for n, color in enumerate(colors)]
    sheet = opened(annotate_frames(frames))
    height, width = sheet.shape[:2]
    middles = [(height // 4, width // 4), (height // 4, 3 * width // 4), (3 * height // 4, width // 4)]
    for (y, x), color in zip(middles, colors, strict=False):
        assert is_near(sheet[y, x], color, 40)
    assert max(width, height) <= 480
    assert sheet[height // 2 - 12 : height // 2 - 3, :30].min() < 60  # the time, on black


def test_times_are_minutes_and_seconds() -> None:
    assert [module._time(at_s) for at_s in (0.0, 3.25, 59.96, 125.0)] == ["0:00.0", "0:03.2", "1:00.0", "2:05.0"]


def test_two_wide_frames_stand_above_each_other() -> None:
    wide = np.full((90, 160, 3), 128, np.uint8)
    assert opened(annotate_frames([(wide, 0, []), (wide, 1, [])])).shape[:2] == (184, 160)
    assert opened(annotate_frames([(wide, 0, [])])).shape[:2] == (90, 160)


def test_no_frame_no_sheet() -> None:
    with pytest.raises(ValueError, match="one frame"):
        annotate_frames([])
