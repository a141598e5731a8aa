"""The page of ``media-assets gallery`` in a real browser: it shows everything, from a disk and over HTTP."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from media_assets_tests.bench.bookkeeping import write_pictures
from media_assets_tests.integration.test_incremental import cli_environment, process_json, run_cli

pytestmark = pytest.mark.e2e

FILES = 40
_HOSTILE = '"><img src=x onerror=alert(1)>.jpg'
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library and its gallery."""
    folder = tmp_path_factory.mktemp("gallery")
    paths = write_pictures(folder / "photos", FILES, (640, 480))
    paths[7].rename(paths[7].with_name(_HOSTILE))
    env = cli_environment(folder / "home")
    assets = "original,metadata,thumbnails"
    process_json(
        run_cli("process", folder / "photos", "--library", folder / "lib", "--assets", assets, "--json", env=env)
    )
    made = run_cli("gallery", "--library", folder / "lib", "--out", folder / "gallery.html", env=env)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The folder over HTTP."""
    handler = functools.partial(_Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("over", ["file", "http"])
def test_the_gallery_shows_every_picture_and_opens_it(chromium: str, folder: Path, server: str, over: str) -> None:
    address = (folder / "gallery.html").as_uri() if over == "file" else f"{server}/gallery.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1000, "height": 600})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(address)
        images = page.locator(".frame img")
        assert images.count() == FILES
        for number in range(FILES):  # each loads when it comes into view
            images.nth(number).scroll_into_view_if_needed()
            page.wait_for_function(
                "image => image.complete && image.naturalWidth > 0", arg=images.nth(number).element_handle()
            )
        box, frame = (page.locator(name).first.bounding_box() for name in (".frame img", ".frame"))
        assert box is not None
        assert frame is not None
        assert box["width"] == pytest.approx(frame["width"], abs=1)
        assert box["width"] / box["height"] == pytest.approx(4 / 3, abs=0.02)

        page.locator(".frame").first.click()
        view = page.locator(".view:visible")
        assert view.count() == 1
        preview = view.locator("img")
        page.wait_for_function("image => image.naturalWidth === 640", arg=preview.element_handle())
        view.get_by_text("next").click()
        assert page.url.endswith("#view-1")
        page.locator(".view:visible").get_by_text("close").click()
        assert page.locator(".view:visible").count() == 0
        assert page.get_by_text(_HOSTILE, exact=True).count() >= 1
        browser.close()
    assert complaints == []
