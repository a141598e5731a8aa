"""What the table of copies tells of where a file was taken."""

import pytest

from media_assets.media import places
from media_assets.pipeline import sharing_location
from media_assets.pipeline.sharing_location import SharedPlaces
from media_assets.pipeline.sharing_outcomes import SharedLocation
from media_assets.pipeline.sharing_recipe import LocationLevel

ROW = {"latitude_deg": 48.16389, "longitude_deg": 11.50028, "place_city": "Pasing", "place_country_code": "DE"}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("none", SharedLocation()),
        ("country", SharedLocation("country", 51.0, 10.0, None, "DE")),
        ("city", SharedLocation("city", 48.14, 11.46, "Pasing", "DE")),
        ("exact", SharedLocation("exact", 48.16389, 11.50028, "Pasing", "DE")),
    ],
)
def test_a_position_is_told_as_exactly_as_the_level_says(level: LocationLevel, expected: SharedLocation) -> None:
    assert SharedPlaces(level).of(ROW) == expected


@pytest.mark.parametrize("level", ["exact", "city", "country"])
def test_no_position_and_the_open_sea_tell_nothing(level: LocationLevel) -> None:
    nowhere = {"latitude_deg": None, "longitude_deg": None, "place_city": None, "place_country_code": None}
    assert SharedPlaces(level).of(nowhere) == SharedLocation()
    if level != "exact":
        assert SharedPlaces(level).of(nowhere | {"latitude_deg": 0.0, "longitude_deg": 0.0}) == SharedLocation()


def test_without_data_of_places_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise places.PlaceDataError("no data")

    monkeypatch.setattr(sharing_location, "Gazetteer", missing)
    assert SharedPlaces("city").of(ROW) == SharedLocation()
