"""What a person does in the Dagster UI, in a real headless Chromium: look at a page that has loaded, take a picture.

Roles and visible texts of Dagster 1.13 are used as selectors. What must be seen is in the tests.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect, sync_playwright

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_SIZE = {"width": 1600, "height": 900}
_TIMEOUT_MS = 30_000.0


@dataclass(frozen=True)
class Ui:
    """A browser tab on the UI of a service.

    Attributes:
        page: The tab.
        url: Address of the web server.
        artifacts: Folder for pictures.
    """

    page: Page
    url: str
    artifacts: Path

    def open(self, path: str) -> None:
        """Go to a page of the UI and wait until it has loaded."""
        self.page.goto(self.url + path)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is loading."""
        self.page.wait_for_load_state("networkidle")
        expect(self.page.locator("[class*=spinner i]:visible, [class*=shimmer i]:visible")).to_have_count(0)

    def dialog(self) -> Locator:
        """Return the dialog in front."""
        return self.page.get_by_role("dialog").last

    def asset_link(self, name: str) -> Locator:
        """Return the link to an asset in the list of assets."""
        return self.page.locator(f"a[href='/assets/{name}']")

    def picture(self, name: str, height_px: int = _SIZE["height"]) -> None:
        """Save the upper ``height_px`` of what is seen as the PNG file ``name`` among the artifacts."""
        self.settle()
        clip = FloatRect(x=0, y=0, width=_SIZE["width"], height=height_px)
        shot = Image.open(BytesIO(self.page.screenshot(animations="disabled", caret="hide", clip=clip)))
        assert shot.size == (_SIZE["width"], height_px)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        shot.convert("RGB").save(self.artifacts / name, optimize=True)


@contextlib.contextmanager
def open_ui(chromium: str, profile: Path, url: str, artifacts: Path) -> Iterator[Ui]:
    """Start a browser with an empty profile and close it at the end."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            args=list(_ARGUMENTS),
            viewport={"width": _SIZE["width"], "height": _SIZE["height"]},
            locale="en-US",
            timezone_id="UTC",
        )
        try:
            context.set_default_timeout(_TIMEOUT_MS)
            expect.set_options(timeout=_TIMEOUT_MS)
            yield Ui(context.pages[0], url, artifacts)
        finally:
            context.close()
