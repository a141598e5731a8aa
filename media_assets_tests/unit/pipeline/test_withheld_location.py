"""Files whose owners do not consent to keeping where they were."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from media_assets.media.places import Place
from media_assets.media.position_tags import POSITION_FIELDS, without_position_tags
from media_assets.pipeline.library import Library
from media_assets.pipeline.places import Position
from media_assets.pipeline.staleness import freshness_of
from media_assets.storage import catalog
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets_tests.conftest import Drop
from media_assets_tests.unit.pipeline.batches import Ingest

pytestmark = pytest.mark.usefixtures("_shared_decoder")


def at_the_eiffel_tower() -> bytes:
    exif = Image.Exif()
    exif[0x0110] = "Telling Camera"
    gps = exif.get_ifd(0x8825)
    gps.update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0), 16: "T", 17: 90.0})
    buffer = BytesIO()
    Image.new("RGB", (64, 48), "navy").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


class Geocoder:
    """Remembers what it was asked."""

    problem: str | None = None
    unanswered = 0

    def __init__(self) -> None:
        self.asked: list[Position] = []

    def find(self, positions: Iterable[Position]) -> Mapping[Position, Place]:
        self.asked += positions
        return {}


def metadata_of(library: Library) -> dict[str, dict[str, Any]]:
    library.compact()
    return {row["owner"]: row for row in catalog.read_current(library.store, "metadata").to_pylist()}


def test_no_position_is_written_and_no_geocoder_is_asked(library: Library, drop: Drop, ingest: Ingest) -> None:
    library.geocoder = geocoder = Geocoder()
    record_consent(
        library.store,
        ConsentRecord(
            owner="ann", purpose="location", granted=False, recorded_by="clerk", recorded_at=datetime.now(UTC)
        ),
    )
    drop({"ann/a.jpg": at_the_eiffel_tower(), "ben/b.jpg": at_the_eiffel_tower()})
    ingest(library)
    found = metadata_of(library)
    assert found["ben"]["latitude_deg"] == pytest.approx(48.8583, abs=1e-3)
    assert found["ben"]["timezone"] == "Europe/Paris"
    assert len(geocoder.asked) == 1
    columns = (*POSITION_FIELDS, "place_city", "place_region", "place_country_code")
    assert [found["ann"][name] for name in columns] == [None] * len(columns)
    assert found["ann"]["camera_model"] == "Telling Camera"
    # Not in what no column holds, either.
    assert "GPS" in (found["ben"]["tags_json"] or "")
    assert "GPS" not in (found["ann"]["tags_json"] or "")
    skipped = catalog.read_current(library.store, "skipped").to_pylist()
    assert [(row["owner"], row["asset"], row["purpose"]) for row in skipped] == [("ann", "metadata", "location")]
    assert {state for _, state in freshness_of(library, "metadata")} == {"current"}


@pytest.mark.parametrize(
    "name",
    [
        *("GPS.GPSImgDirection", "Exif.GPSInfo", "XMP-photoshop.City", "XMP-photoshop.State", "IPTC.Sub-location"),
        *("XMP-iptcExt.LocationShown", "QuickTime.com.apple.quicktime.location.ISO6709", "QuickTime.©xyz"),
        *("Takeout.geoData.latitude", "IPTC.Country-PrimaryLocationName", "XMP-iptcCore.CountryCode"),
    ],
)
def test_tags_that_tell_a_place_go(name: str) -> None:
    assert without_position_tags(json.dumps({name: "x", "Exif.SceneType": "1"})) == '{"Exif.SceneType": "1"}'
    assert without_position_tags(json.dumps({name: "x"})) is None


def test_other_tags_stay() -> None:
    text = json.dumps({"Exif.SceneType": "1", "XMP-crs.Contrast": "5", "Exif.Flash": "ö"}, ensure_ascii=False)
    assert without_position_tags(text) == text
    assert without_position_tags(None) is None
