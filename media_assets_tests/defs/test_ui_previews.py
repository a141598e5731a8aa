"""What everybody sees who may open the UI, and what the logs of runs say."""

import base64
import io
import logging
import re
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from PIL import Image

from media_assets.defs.ui_previews import UiPreviews
from media_assets.media.blurred_preview import DETAIL_PX, blurred_preview
from media_assets.storage.errors import ObjectMissing
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World
from media_assets_tests.pictures import jpeg

OWNER, NAME = "zanzibarella", "Kim at 48.137N Marienplatz"
KEY = f"{OWNER}/{NAME}.jpg"


def _stored(world: World) -> str:
    """Everything that Dagster has stored of all runs, as text."""
    runs = world.instance.get_runs()
    return "\n".join(dg.serialize_value(entry) for run in runs for entry in world.instance.all_logs(run.run_id))


def _embedded(event: dg.AssetMaterialization) -> bytes:
    markdown = str(event.metadata["preview"].value)
    found = re.fullmatch(r"!\[preview\]\(data:image/\w+;base64,([\w+/=]+)\)", markdown)
    assert found is not None
    return base64.b64decode(found[1])


def test_with_previews_off_no_picture_and_no_name_is_in_any_record(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(ui_previews="off")
    drop({KEY: jpeg(1)})
    world.ingest()
    (thumbnails,) = world.events("thumbnails", KEY)
    assert "preview" not in thumbnails.metadata
    stored = _stored(world)
    assert "ASSET_MATERIALIZATION" in stored
    assert "base64" not in stored
    assert OWNER not in stored
    assert NAME not in stored


def test_blurred_previews_have_no_detail(make_world: MakeWorld, drop: Drop) -> None:
    drop({KEY: jpeg(1, size=(300, 200))})
    shown = make_world(ui_previews="on")
    shown.ingest()
    sharp = _embedded(shown.events("thumbnails", KEY)[0])
    world = make_world(ui_previews="blurred")
    drop({KEY: jpeg(1, size=(300, 200)) + b" "})
    world.ingest()
    blurred = _embedded(world.events("thumbnails", KEY)[0])
    assert blurred != sharp
    assert OWNER not in _stored(world)
    assert OWNER in _stored(shown)


def test_a_blur_leaves_what_eight_pixels_can_hold() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95)
    with Image.open(io.BytesIO(blurred_preview(buffer.getvalue()))) as opened:
        assert opened.size == (150, 100)
        shown = np.asarray(opened.convert("L"), float)
    # Neighbours differ by what lies between two of the 8 pixels, spread over the 19 that each covers.
    assert np.abs(np.diff(shown, axis=1)).mean() < np.abs(np.diff(noise[..., 0].astype(float), axis=1)).mean() / 20
    assert DETAIL_PX == 8
    with Image.open(io.BytesIO(blurred_preview(_flat((1, 400))))) as opened:
        assert opened.size == (1, 150)


def _flat(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_at_public_addresses_are_shown_only_with_previews_on() -> None:
    assert (
        UiPreviews("on").link("https://cdn.example/a.jpg")["preview"].value == "![preview](https://cdn.example/a.jpg)"
    )
    assert UiPreviews("on").link("javascript:x") == UiPreviews("on").link(None) == {}
    assert UiPreviews("blurred").link("https://cdn.example/a.jpg") == {}
    assert UiPreviews("off").drawn(base64.b64encode(_flat((9, 9))).decode(), "faces") == {}


def test_logs_and_failures_of_a_run_name_no_owner_and_no_file(
    make_world: MakeWorld, drop: Drop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(ui_previews="off")
    drop({KEY: jpeg(1), f"{OWNER}/{NAME} broken.jpg": b"\xff\xd8\xff\xe0 broken"})
    caplog.set_level(logging.DEBUG)

    def gone(*_: Any, **__: Any) -> None:
        raise ObjectMissing(f"originals/{OWNER}/2024/05/x.jpg is gone. Upload it again.", "x")

    world.ingest()
    monkeypatch.setattr("media_assets.defs.assets.ingest.run_work", gone)
    drop({f"{OWNER}/{NAME} second.jpg": jpeg(2)})
    (failed,) = world.ingest()
    assert not failed.success
    stored = _stored(world)
    assert "is gone. Upload it again." in stored
    for text in (stored, caplog.text):
        assert OWNER not in text
        assert NAME not in text


def test_a_tick_of_departures_names_no_upload(
    make_world: MakeWorld, drop: Drop, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = make_world(ui_previews="off", after_ingest="move")
    drop({KEY: jpeg(1)})
    world.ingest()
    world.tick()  # the batch is closed
    (original,) = [path for path in (tmp_path / "library" / "originals").rglob("*") if path.is_file()]
    original.chmod(0o644)
    original.write_bytes(b"rotten")
    capfd.readouterr()
    tick = world.tick("departures_sensor")
    assert "1 cannot leave now" in str(tick.skip_message)
    logged = capfd.readouterr().err
    assert "cannot leave the inbox now: The stored original originals/" in logged
    assert OWNER not in logged
    assert NAME not in logged
