"""Reading of text: what it says and where, whichever way up, and nothing where there is none."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from media_assets.demo.photos import Photo, load_photo
from media_assets.models.errors import ModelCorruptError, ModelMissingError
from media_assets.models.onnx_runtime import open_session
from media_assets.models.records import Picture
from media_assets.models.registry import ModelPlaces, model_named
from media_assets.models.text_reading import RapidOcr, load_rapidocr

NOWHERE = ModelPlaces(None, Path("unused"))
SPEC = model_named("rapidocr")
SENTENCES = ("The harbour opens at seven", "Boats leave every hour", "Tickets cost 14.50 euros")
SIZE = (560, 300)


@pytest.fixture(scope="module")
def reader() -> RapidOcr:
    return load_rapidocr(SPEC, NOWHERE)


def page(*sentences: str, size: tuple[int, int] = SIZE, height_px: int = 32) -> Picture:
    picture = Image.new("RGB", size, "#f4f1e8")
    font = ImageFont.load_default(height_px)
    for at, sentence in enumerate(sentences):
        ImageDraw.Draw(picture).text((40, 50 + 70 * at), sentence, "#202020", font)
    return np.asarray(picture)


def read(reader: RapidOcr, picture: Picture, threshold: float = 0.5) -> list[str]:
    return [line.text for line in reader.read([picture], threshold)[0]]


@pytest.mark.parametrize("quarters", range(4))
def test_a_page_is_read_whichever_way_up(reader: RapidOcr, quarters: int) -> None:
    picture = np.ascontiguousarray(np.rot90(page(*SENTENCES), quarters))
    (lines,) = reader.read([picture], 0.5)
    assert [line.text for line in lines] == list(SENTENCES)
    assert all(0.9 < line.score <= 1 for line in lines)
    # The first line is 40 to 440 px from the left and 50 to 90 px from the top, before it was turned.
    upper_left, upper_right, lower_right, lower_left = (_turned_back(point, quarters) for point in lines[0].polygon)
    assert upper_left == pytest.approx((40, 55), abs=12)
    assert upper_right[0] - upper_left[0] == pytest.approx(405, abs=40)
    assert lower_left[1] - upper_left[1] == pytest.approx(36, abs=12)
    assert lower_right == pytest.approx((upper_right[0], lower_left[1]), abs=6)


def _turned_back(point: tuple[float, float], quarters: int) -> tuple[float, float]:
    x, y = point
    width, height = SIZE
    return [(x, y), (width - y, x), (width - x, height - y), (y, height - x)][quarters]


def test_a_book_spine_does_not_turn_the_page(reader: RapidOcr) -> None:
    spine = Image.fromarray(page("Tales of the northern sea", size=(560, 160))).rotate(90, expand=True)  # reads upwards
    whole = Image.new("RGB", (760, 600), "#f4f1e8")
    whole.paste(Image.fromarray(page(*SENTENCES)), (0, 100))
    whole.paste(spine, (590, 20))
    assert set(read(reader, np.asarray(whole))) == {*SENTENCES, "Tales of the northern sea"}


@pytest.mark.parametrize("which", [Photo.CAT, Photo.COFFEE, Photo.GALAXIES])
def test_photos_without_text_have_none(reader: RapidOcr, which: Photo) -> None:
    assert read(reader, np.asarray(load_photo(which, (480, 360)).convert("RGB"))) == []


def test_pictures_without_text_cause_no_log(reader: RapidOcr, capfd: pytest.CaptureFixture[str]) -> None:
    with _listening() as heard:
        assert read(reader, np.full((200, 300, 3), 200, np.uint8)) == []
    assert heard == []
    assert capfd.readouterr() == ("", "")


class _listening(list[str]):  # noqa: N801 - reads as a word where it is used
    """Collects what the package logs."""

    def __enter__(self) -> "_listening":
        self.handler = logging.Handler()
        self.handler.emit = lambda record: self.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("RapidOCR").addHandler(self.handler)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("RapidOCR").removeHandler(self.handler)


def test_each_picture_of_a_batch_has_its_own_text(reader: RapidOcr) -> None:
    # The package remembers how it was called last: a cut-out word before a page must not change how the page is read.
    word = page("HARBOUR", size=(150, 30), height_px=20)[20:, :]
    pictures = [page(SENTENCES[0]), np.zeros((90, 120, 3), np.uint8), word, page(SENTENCES[1])]
    first, empty, _, last = reader.read(pictures, 0.5)
    assert [[line.text for line in lines] for lines in (first, empty, last)] == [[SENTENCES[0]], [], [SENTENCES[1]]]


def test_a_cut_out_word_is_read(reader: RapidOcr) -> None:
    word = Image.new("RGB", (90, 22), "#203040")
    ImageDraw.Draw(word).text((8, 1), "GRANITE", "white", ImageFont.load_default(17))
    (line,) = reader.read([np.asarray(word)], 0.5)[0]
    assert line.text == "GRANITE"
    assert 0 <= line.box[0] < line.box[2] <= 92
    assert 0 <= line.box[1] < line.box[3] <= 24


def test_a_long_line_is_read_whole(reader: RapidOcr) -> None:
    sentence = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " * 2
    picture = page(sentence.strip(), size=(1600, 200), height_px=17)
    assert read(reader, picture) == [sentence.strip()]


def test_only_lines_over_the_threshold_count(reader: RapidOcr) -> None:
    (lines,) = reader.read([page(*SENTENCES)], 0.5)
    between = (sorted(line.score for line in lines)[0] + sorted(line.score for line in lines)[1]) / 2
    assert len(read(reader, page(*SENTENCES), between)) == 2


def test_a_single_character_counts_beside_other_text_only(reader: RapidOcr) -> None:
    assert read(reader, page("B")) == []
    assert read(reader, page("Platform", "B")) == ["Platform", "B"]


@pytest.mark.parametrize("marks", ["- - - - -", "* * *", "......"])
def test_marks_are_no_text(reader: RapidOcr, marks: str) -> None:
    assert read(reader, page(marks)) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (15, 400, 3), (16, 1600, 3), (1600, 16, 3)])
def test_shapes_without_room_for_text_are_no_error(reader: RapidOcr, shape: tuple[int, int, int]) -> None:
    assert read(reader, np.full(shape, 90, np.uint8)) == []


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("rapidocr.utils.download_file.DownloadFile.run", refuse)
    assert read(load_rapidocr(SPEC, NOWHERE), page(SENTENCES[0])) == [SENTENCES[0]]


def test_sessions_have_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def remembered(content: bytes) -> object:
        opened.append(open_session(content))
        return opened[-1]

    monkeypatch.setattr("media_assets.models.text_reading.open_session", remembered)
    assert read(load_rapidocr(SPEC, NOWHERE), page(SENTENCES[0])) == [SENTENCES[0]]
    assert [session.get_session_options().intra_op_num_threads for session in opened] == [1, 1]


@pytest.mark.parametrize("name", sorted(SPEC.files))
def test_another_file_than_the_registered_is_refused(name: str) -> None:
    spec = replace(SPEC, files={**SPEC.files, name: "0" * 64})
    with pytest.raises(ModelCorruptError, match=r"pip install --force-reinstall .*rapidocr=="):
        load_rapidocr(spec, NOWHERE)


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.models.packaged.find_spec", lambda _: None)
    with pytest.raises(ModelMissingError, match="pip install rapidocr"):
        load_rapidocr(SPEC, NOWHERE)
