"""``media-assets gallery`` on small libraries: what the page and the sheets show, and that names stay harmless."""

import base64
import hashlib
import io
import json
import re
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from media_assets.cli import main
from media_assets.demo.clips import encode_pan
from media_assets.gallery import sheets
from media_assets.gallery.contents import (
    Addresses,
    Contents,
    Item,
    Picture,
    average_color,
    described_duration,
    described_size,
    printable,
    read_contents,
)
from media_assets.gallery.page import gallery_page
from media_assets.gallery.sheets import FILES_PER_PAGE, contact_sheets, page_paths
from media_assets.pipeline.assets import METADATA, ORIGINAL, THUMBNAILS
from media_assets.pipeline.library import Library
from media_assets.pipeline.workers import WorkerPool
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.objects import ObjectStore, StoreOptions, open_store
from media_assets.storage.tables import PartWriter
from media_assets_tests.pictures import jpeg, truncated_jpeg
from media_assets_tests.unit.pipeline.batches import listed, start

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)<!-- & \u202egpj.jpg'
RED, GREEN = (200, 30, 30), (20, 140, 40)
PIXEL_TOLERANCE = 12


def _photo(color: tuple[int, int, int], size: tuple[int, int], taken: str | None = None) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    Image.new("RGB", size, color).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory, _decoder: WorkerPool) -> Path:
    """A library that the pipeline has made: photos, a video, a duplicate, a rejected file."""
    folder = tmp_path_factory.mktemp("gallery") / "lib"
    library = Library(Settings(library=str(folder), workers=1, inbox_settle_s=0.0))
    library.ensure_inbox()
    photo = Image.linear_gradient("L").resize((400, 240)).convert("RGB")
    at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    files = {
        "ann/late.jpg": _photo(RED, (640, 480), "2024:05:01 10:00:00"),
        "ann/early.jpg": _photo(GREEN, (300, 600), "2023:01:01 10:00:00"),
        f"ann/{HOSTILE}": jpeg(3),
        "bob/early copy.jpg": _photo(GREEN, (300, 600), "2023:01:01 10:00:00"),
        "bob/pan.mp4": encode_pan(photo, "mp4", size=(320, 240), duration_s=1.0, frame_rate_fps=10, created_at=at),
        "bob/broken.jpg": truncated_jpeg(),
    }
    for name, content in files.items():
        path = folder / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    library.worker_pool = lambda: _Lent(_decoder)  # type: ignore[method-assign, return-value]
    (batch,) = listed(library)
    for _ in start(library, batch, "run-1", [ORIGINAL, METADATA, THUMBNAILS]):
        pass
    library.compact()
    _add_web_versions(library.store)
    library.close()
    return folder


class _Lent:
    """A pool that is not closed after use."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def __enter__(self) -> WorkerPool:
        return self._pool

    def __exit__(self, *_: object) -> None:
        return None


def _add_web_versions(store: ObjectStore) -> None:
    """What asset `optimized` adds: rows and objects of one photo and of the video."""
    writer = PartWriter(store, "run-2")
    files = {row["file_name"]: row["media_id"] for row in catalog.read_current(store, "files").to_pylist()}
    wanted = {
        files["late.jpg"]: [("optimized", "avif"), ("optimized", "webp"), ("optimized", "jpeg")],
        files["pan.mp4"]: [("clip", "mp4"), ("animated_preview", "webp"), ("storyboard", "webp")],
    }
    previews = [row for row in catalog.read_current(store, "renditions").to_pylist() if row["kind"] == "preview"]
    for row in previews:
        new = []
        for kind, format_ in wanted.get(row["media_id"], ()):
            key = row["path"].replace("preview.jpg", f"{kind}.{'jpg' if format_ == 'jpeg' else format_}")
            store.put_bytes(key, b"content")
            new.append(row | {"kind": kind, "format": format_, "path": key, "asset": "optimized", "ssim": 0.987})
        if new:
            writer.append("renditions", f"{new[0]['computed_at']:%Y-%m}", [_without(one, "run_id") for one in new])
    catalog.compact(store)


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


@pytest.fixture
def made(_made: Path, tmp_path: Path) -> Path:
    """A copy of that library in the working folder, named ``my lib``: addresses must survive a space."""
    return Path(shutil.copytree(_made, tmp_path / "my lib"))


@pytest.fixture
def store(made: Path) -> ObjectStore:
    return open_store(str(made))


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["gallery", *arguments], catch_exceptions=False)


class _Elements(HTMLParser):
    """Start tags with their attributes, and the text between them, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str, **values: str) -> list[dict[str, str]]:
        wanted = {name.rstrip("_"): value for name, value in values.items()}
        return [attrs for name, attrs in self.found if name == tag and wanted.items() <= attrs.items()]

    def view_of(self, number: int) -> list[tuple[str, dict[str, str]]]:
        """Elements between the view of a file and that of the next one."""
        starts = [index for index, (_, attrs) in enumerate(self.found) if attrs.get("class") == "view"]
        return self.found[starts[number] : starts[number + 1] if number + 1 < len(starts) else None]


def _page(*arguments: str) -> _Elements:
    result = _call(*arguments)
    assert result.exit_code == 0, result.output
    return _Elements(Path("gallery.html").read_text("utf-8"))


# ---------------------------------------------------------------- page


@pytest.mark.usefixtures("made")
def test_files_come_by_time_of_capture_and_unknown_times_last() -> None:
    page = _page("--library", "my lib")
    names = [attrs["aria-label"] for attrs in page.all("a", class_="frame")]
    assert names == ["early copy.jpg", "early.jpg", "pan.mp4", "late.jpg", printable(HOSTILE)]
    assert "4 pictures, 1 video, 1 rejected" in page.texts
    assert len(page.all("span", class_="badge")) == 1  # the video; the equal files have different owners


@pytest.mark.usefixtures("made")
def test_every_address_of_the_page_is_an_object_of_the_library() -> None:
    page = _page("--library", "my lib")
    addresses = {
        attrs[name]
        for tag, attrs in page.found
        for name in ("src", "srcset", "href")
        if tag != "link" and name in attrs and not attrs[name].startswith("#")
    }
    assert len(addresses) == 4 * 5 + 3 + 3  # equal files share their renditions
    for address in addresses:
        assert address.startswith("my%20lib/renditions/")
        assert Path(unquote(address)).is_file()


@pytest.mark.usefixtures("made")
def test_the_page_can_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert _call("--library", "my lib", "--out", "a/b/look.html").exit_code == 0
    page = _Elements((tmp_path / "a" / "b" / "look.html").read_text("utf-8"))
    sources = [attrs["src"] for attrs in page.all("img")]
    assert all((tmp_path / "a" / "b" / unquote(source)).is_file() for source in sources)
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["look.html"]


@pytest.mark.usefixtures("made")
def test_the_web_version_is_offered_in_all_formats_with_jpeg_for_old_browsers() -> None:
    view = _page("--library", "my lib").view_of(3)
    assert [attrs["type"] for tag, attrs in view if tag == "source"] == ["image/avif", "image/webp"]
    assert [attrs["src"].rpartition("/")[2] for tag, attrs in view if tag == "img"] == ["optimized.jpg"]
    without = _page("--library", "my lib").view_of(1)
    assert [attrs["src"].rpartition("/")[2] for tag, attrs in without if tag == "img"] == ["preview.jpg"]


@pytest.mark.usefixtures("made")
def test_a_video_shows_its_clip_and_moves_under_the_pointer() -> None:
    page = _page("--library", "my lib")
    (video,) = page.all("video")
    assert (video["src"].rpartition("/")[2], video["preload"]) == ("clip.mp4", "none")
    (moving,) = [attrs for attrs in page.all("img") if "moving" in attrs.get("class", "")]
    assert (moving["src"].rpartition("/")[2], moving["loading"]) == ("animated_preview.webp", "lazy")
    assert any("▶ 0:01" in text for text in page.texts)


@pytest.mark.usefixtures("made")
def test_pictures_load_late_and_keep_their_place() -> None:
    images = _page("--library", "my lib").all("img")
    assert len(images) >= 10
    for attrs in images:
        assert attrs["loading"] == "lazy"
        assert int(attrs["width"]) > 0
        assert int(attrs["height"]) > 0


@pytest.mark.usefixtures("made")
def test_nothing_runs_and_nothing_is_fetched_from_elsewhere() -> None:
    page = _page("--library", "my lib")
    assert page.all("script") == []
    assert not [name for _, attrs in page.found for name in attrs if name.startswith("on")]
    harmless = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "bdi",
        "p",
        "ul",
        "li",
        "a",
        "img",
        "span",
        "div",
    }
    assert {tag for tag, _ in page.found} <= harmless | {"nav", "picture", "source", "video", "link"}
    (policy,) = [attrs["content"] for attrs in page.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert directives["default-src"] == ["'none'"]
    assert directives["img-src"] == ["'self'", "file:", "data:"]
    assert "unsafe" not in policy
    assert HOSTILE.replace("\u202e", "\N{REPLACEMENT CHARACTER}") in page.texts


@pytest.mark.usefixtures("made")
def test_the_style_is_the_one_that_the_policy_allows() -> None:
    assert _call("--library", "my lib").exit_code == 0
    text = Path("gallery.html").read_text("utf-8")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"sha256-{digest}" in text
    assert " style=" not in text


@pytest.mark.usefixtures("made")
def test_owner_and_limit_choose_and_the_rest_is_counted() -> None:
    page = _page("--library", "my lib", "--owner", "bob")
    assert [attrs["aria-label"] for attrs in page.all("a", class_="frame")] == ["early copy.jpg", "pan.mp4"]
    limited = json.loads(_call("--library", "my lib", "--limit", "2", "--json").stdout)
    assert (limited["files"], limited["shown"], limited["rejected"]) == (5, 2, 1)
    assert "the first 2 of 5 files are shown" in Path("gallery.html").read_text("utf-8")
    assert len(page.all("div", class_="view")) == 2


@pytest.mark.usefixtures("made")
def test_an_embedded_page_needs_no_library() -> None:
    page = _page("--library", "my lib", "--embed", "--kind", "thumb_150")
    sources = [attrs["src"] for attrs in page.all("img")]
    assert len(sources) == 5
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert max(image.size) <= 150
    assert [attrs for attrs in page.all("a") if "href" in attrs] == []


def test_a_remote_library_is_linked_by_published_addresses_that_are_addresses() -> None:
    store = open_store("memory://", StoreOptions(public_base_url="https://cdn.example/m"))
    addresses = Addresses(store, Path("page.html"), 900)
    assert addresses.of(_thumb("renditions/aa/x.jpg")) == "https://cdn.example/m/renditions/aa/x.jpg"
    assert addresses.origins == {"https://cdn.example"}
    assert not addresses.expire
    for bad in (
        "javascript:alert(1)",
        'https://cdn.example/"x',
        "https://a b/",
        "data:text/html,x",
        "https://a/<style>",
    ):
        assert addresses.of(_thumb("renditions/aa/x.jpg", public_url=bad)) is None
    page = gallery_page(
        Contents((_item(0, thumb=_thumb("renditions/aa/x.jpg")),), 1, 0),
        addresses,
        title="x",
        made_at=datetime.now(UTC),
    )
    assert "img-src &#x27;self&#x27; file: https://cdn.example data:" in page
    unreachable = Addresses(open_store("memory://"), Path("page.html"), 900)
    assert unreachable.of(_thumb("renditions/aa/x.jpg")) is None


@pytest.mark.parametrize(("expires_s", "said"), [(900, "15 minutes"), (3600, "1 hour"), (86_400, "24 hours")])
def test_signed_addresses_stop_working_and_the_page_says_when(expires_s: int, said: str) -> None:
    options = StoreOptions(
        s3_endpoint_url="http://127.0.0.1:9", s3_region="r", s3_access_key_id="k", s3_secret_access_key="s"
    )
    addresses = Addresses(open_store("s3://bucket/library", options), Path("page.html"), expires_s)
    address = addresses.of(_thumb("renditions/aa/x.jpg")) or ""
    assert f"X-Amz-Expires={expires_s}" in address.split("&")
    item = _item(0, thumb=_thumb("renditions/aa/x.jpg"))
    page = gallery_page(Contents((item,), 1, 0), addresses, title="x", made_at=datetime.now(UTC))
    assert f"Its links work for {said}." in page


def test_a_library_without_files_says_so(make_library: Any) -> None:
    make_library()
    page = _page("--library", "library", "--contact-sheet", "sheet.jpg", "--out", "gallery.html")
    assert "0 pictures, 0 videos, 0 rejected" in page.texts
    assert page.all("img") == []
    with Image.open("sheet.jpg") as sheet:
        assert sheet.format == "JPEG"


# ---------------------------------------------------------------- contact sheet


def _thumb(key: str, public_url: str | None = None, size: tuple[int, int] = (300, 200)) -> Picture:
    return Picture("thumb_300", key, public_url, "jpeg", *size, 10)


def _item(number: int, *, thumb: Picture | None = None, name: str | None = None, is_video: bool = False) -> Item:
    name = name or f"IMG_{number:04d}.jpg"
    return Item(f"m-{number:012d}", "ann", name, name, is_video, "jpeg", 4000, 3000, 3_400_000, thumb=thumb)


def _near(pixel: Any, color: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= PIXEL_TOLERANCE for a, b in zip(pixel, color, strict=True))


@pytest.mark.usefixtures("made")
def test_the_sheet_shows_the_pictures_in_order() -> None:
    result = _call("--library", "my lib", "--contact-sheet", "sheet.jpg", "--json")
    assert json.loads(result.stdout)["contact_sheets"] == [str(Path("sheet.jpg").absolute())]
    assert not Path("gallery.html").exists()  # only what was asked for
    with Image.open("sheet.jpg") as sheet:
        pixels = sheet.convert("RGB")
    centers = [(20 + column * 214 + 100, 84 + row * 262 + 100) for row in range(2) for column in range(3)]
    assert [_near(pixels.getpixel(centers[number]), color) for number, color in ((0, GREEN), (1, GREEN), (3, RED))] == [
        True,
        True,
        True,
    ]
    x, y = centers[0]  # upright 1:2: the cell beside it is empty
    assert _near(pixels.getpixel((x - 80, y)), (238, 238, 238))
    x, y = centers[2]
    assert _near(pixels.getpixel((x, y)), (255, 255, 255))  # the play mark of the video


def test_many_files_go_on_more_pages_and_nothing_is_lost() -> None:
    store = open_store("memory://")
    store.put_bytes("renditions/aa/x.jpg", _photo(RED, (300, 200)))
    items = tuple(_item(number, thumb=_thumb("renditions/aa/x.jpg")) for number in range(FILES_PER_PAGE + 3))
    pages = list(contact_sheets(store, Contents(items, len(items), 0), title="many"))
    assert [path.name for path in page_paths(Path("a.jpg"), len(items))] == ["a.jpg", "a-2.jpg"]
    assert len(pages) == 2
    red = [
        sum(
            _near(page.getpixel((x, y)), RED) for x in range(120, page.width, 214) for y in range(184, page.height, 262)
        )
        for page in pages
    ]
    assert red == [FILES_PER_PAGE, 3]


@pytest.mark.parametrize("content", [b"", b"no picture", truncated_jpeg(), _photo(RED, (2049, 8))])
def test_what_is_no_thumbnail_is_shown_as_unreadable(content: bytes) -> None:
    store = open_store("memory://")
    store.put_bytes("renditions/aa/x.jpg", content)
    items = (_item(0, thumb=_thumb("renditions/aa/x.jpg")), _item(1, thumb=_thumb("renditions/aa/gone.jpg")), _item(2))
    (page,) = contact_sheets(store, Contents(items, 3, 0), title="x")
    assert all(_near(page.getpixel((20 + column * 214 + 100, 84 + 30)), (238, 238, 238)) for column in range(3))


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "\u202e\n\t\x00", "Frühstück 早餐.jpg", "a" * 5000])
def test_names_stay_in_their_cell(name: str) -> None:
    store = open_store("memory://")
    (page,) = contact_sheets(store, Contents((_item(0), _item(1, name=name), _item(2)), 3, 0), title=name)
    beside = page.crop((20 + 2 * 214 - 12, 84, 20 + 2 * 214 - 1, page.height))
    assert beside.getextrema() == ((255, 255),) * 3
    assert page.width < 1000


def test_without_a_font_of_the_system_letters_are_brought_down_to_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_FONTS", ("there-is-no-such-font.ttf",))
    store = open_store("memory://")
    accented, plain, other = (
        next(contact_sheets(store, Contents((_item(0, name=name),), 1, 0), title="x"))
        for name in ("Frühstück.jpg", "Fruhstuck.jpg", "Fruhstick.jpg")
    )
    assert accented.tobytes() == plain.tobytes()
    assert other.tobytes() != plain.tobytes()


# ---------------------------------------------------------------- usage and words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--library", "nowhere"), "There is no library at"),
        (("--contact-sheet", "sheet.png"), "the name must end in .jpg"),
        (("--kind", "thumb_10"), "--kind"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], message: str) -> None:
    result = _call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


@pytest.mark.usefixtures("made")
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    result = _call("--library", "my lib", "--out", "no/such/folder/x.html")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_the_contents_are_those_of_the_catalog(store: ObjectStore) -> None:
    contents = read_contents(store, kind="thumb_600")
    assert (contents.total, contents.rejected) == (5, 1)
    by_name = {item.name: item for item in contents.items}
    early = by_name["early.jpg"]
    assert early.thumb is not None
    assert (early.thumb.kind, early.thumb.height_px, early.captured_at) == ("thumb_600", 600, datetime(2023, 1, 1, 10))  # noqa: DTZ001
    assert [one.kind for one in early.renditions] == ["thumb_150", "thumb_300", "preview", "thumb_1200", "thumb_600"]
    assert [one.format for one in by_name["late.jpg"].of_kind("optimized")] == ["avif", "jpeg", "webp"]
    assert by_name["pan.mp4"].is_video


@given(st.text())
def test_printable_text_has_no_line_breaks_and_no_direction(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1


@given(st.integers(0, 10**13))
def test_sizes_are_short_and_close(size_bytes: int) -> None:
    number, unit = described_size(size_bytes).split()
    factor = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert abs(float(number) * factor - size_bytes) <= max(0.051 * size_bytes, 0.5)
    assert len(number) <= 5


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (61, "1:01"), (3723.4, "1:02:03")])
def test_durations_read_as_on_a_player(seconds: float, text: str) -> None:
    assert described_duration(seconds) == text


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 30), (20, 140, 40), (30, 60, 200)])
def test_the_placeholder_has_the_colour_of_the_picture(color: tuple[int, int, int]) -> None:
    """The header as the reference encoder writes it for a picture of one colour."""
    red, green, blue = (level / 255 for level in color)
    lightness, yellow_blue, red_green = (red + green + blue) / 3, (red + green) / 2 - blue, red - green
    header = round(63 * lightness) | round(31.5 + 31.5 * yellow_blue) << 6 | round(31.5 + 31.5 * red_green) << 12
    shown = average_color(base64.b64encode(header.to_bytes(3, "little") + b"\x00\x00").decode())
    assert shown is not None
    levels = bytes.fromhex(shown.removeprefix("#"))
    assert all(abs(a - b) <= 10 for a, b in zip(levels, color, strict=True))


@given(st.one_of(st.none(), st.text(), st.binary().map(lambda data: base64.b64encode(data).decode())))
def test_a_damaged_placeholder_is_none_or_a_colour(thumbhash: str | None) -> None:
    color = average_color(thumbhash)
    assert color is None or re.fullmatch(r"#[0-9a-f]{6}", color)
