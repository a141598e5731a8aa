"""A consent to publication in the UI: the copy appears by itself, and is gone by itself when the consent is withdrawn.

After the other files of this folder: it changes what they count.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from media_assets.models.vision_recipe import FACES, SAFETY, TEXTS
from media_assets.pipeline.assets import SHAREABLE
from media_assets_tests.e2e.serving import Serving, wait_until
from media_assets_tests.e2e.ui import Ui

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PORTRAIT = "bob/launch/crew.jpg"
_SHARED_TIMEOUT_S = 400.0
_WITHDRAWN_TIMEOUT_S = 180.0


@pytest.fixture(scope="module")
def portrait(serving: Serving, media_ids: dict[str, str]) -> str:
    """The portrait, of which bob lets copies be made; its partition."""
    done = serving.command(
        "reprocess",
        *(word for asset in (FACES, TEXTS, SAFETY) for word in ("--asset", asset)),
        "--stale",
        timeout_s=600,
    )
    assert done["failures"] == []
    assert not copies(serving, media_ids[PORTRAIT])
    serving.say("consent", "grant", "bob", "publication", "--by", "clerk")
    wait_until(
        "the copy is made", lambda: copies(serving, media_ids[PORTRAIT]) == ["published"], _SHARED_TIMEOUT_S, every_s=3
    )
    return media_ids[PORTRAIT]


def copies(serving: Serving, media_id: str) -> list[str]:
    rows = serving.command("query", f"select state from {SHAREABLE} where media_id = '{media_id}'")
    return [row["state"] for row in rows]


def shown(ui: Ui, media_id: str) -> Locator:
    """Open the page of the partition and show its picture, if it has one."""
    ui.open(f"/assets/{SHAREABLE}?view=partitions&partition={media_id}")
    picture = ui.page.locator("img[src^='data:image/webp;base64,']")
    link = ui.page.get_by_text("[Show Markdown]").first
    if link.is_visible() and not picture.count():
        link.click()
    return picture


def test_a_consent_brings_a_copy_whose_face_is_covered(ui: Ui, serving: Serving, portrait: str) -> None:
    (row,) = serving.command("query", f"select path, faces_covered from {SHAREABLE} where media_id = '{portrait}'")
    assert row["faces_covered"] >= 1
    face = serving.command(
        "query", f"select x_min_px, y_min_px, x_max_px, y_max_px from {FACES} where media_id = '{portrait}'"
    )[0]
    copy = np.asarray(Image.open(serving.library / row["path"]).convert("RGB"))
    inside = copy[int(face["y_min_px"]) : int(face["y_max_px"]), int(face["x_min_px"]) : int(face["x_max_px"])]
    assert inside.reshape(-1, 3).std(axis=0).max() < 12  # one colour, and what JPEG adds
    picture = shown(ui, portrait)
    expect(picture).to_be_visible()
    drawn = Image.open(io.BytesIO(base64.b64decode((picture.get_attribute("src") or "").partition(",")[2])))
    assert max(drawn.size) <= 480
    ui.picture("partition_shareable.png")


def test_a_withdrawn_consent_takes_the_copy_and_what_the_ui_shows_of_it(
    ui: Ui, serving: Serving, portrait: str
) -> None:
    (row,) = serving.command("query", f"select path from {SHAREABLE} where media_id = '{portrait}'")
    copy = serving.library / row["path"]
    assert copy.is_file()
    serving.say("consent", "revoke", "bob", "publication", "--by", "clerk")
    wait_until("nothing is left", lambda: serving.succeeds("consent", "verify"), _WITHDRAWN_TIMEOUT_S, every_s=3)
    assert not copy.exists()
    assert not copies(serving, portrait)
    expect(shown(ui, portrait)).to_have_count(0)
