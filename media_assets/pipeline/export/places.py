"""Positions and names of places in an analyst's copy, as exactly as it may tell them."""

from functools import cache

import pyarrow as pa

from media_assets.media.places import Gazetteer
from media_assets.pipeline.export.policy import Privacy

PLACE_COLUMNS = ("latitude_deg", "longitude_deg", "place_city", "place_region", "place_country_code")

_COLUMNS_OF: dict[Privacy, tuple[str, ...]] = {
    "exact": PLACE_COLUMNS,
    "city": PLACE_COLUMNS,
    "country": ("latitude_deg", "longitude_deg", "place_country_code"),
    "none": (),
}


def place_columns(privacy: Privacy) -> tuple[str, ...]:
    """Return the columns of a place that a copy has."""
    return _COLUMNS_OF[privacy]


def coarse_places(table: pa.Table, privacy: Privacy) -> pa.Table:
    """Return the place columns of rows of table ``metadata``, as exactly as ``privacy`` says.

    Names come from the same data as centres, whoever named the places in the library: an online service may have named
    a hamlet of five houses. What has no city (or country) nearby has no position either.

    Args:
        table: Has all of :data:`PLACE_COLUMNS`.
        privacy: How exactly.

    Raises:
        PlaceDataError: The data of places are missing.
    """
    columns = list(place_columns(privacy))
    wanted = table.select(columns)
    if privacy in ("exact", "none"):
        return wanted
    gazetteer = Gazetteer()

    @cache
    def by_city(latitude: float, longitude: float) -> tuple[object, ...]:
        center = gazetteer.city_center(latitude, longitude)
        place = gazetteer.place(latitude, longitude)
        if center is None or place.city is None:
            return None, None, None, None, place.country_code
        return *center, place.city, place.region, place.country_code

    @cache
    def by_country(country: str | None) -> tuple[object, ...]:
        center = None if country is None else gazetteer.country_center(country)
        return (*center, country) if center is not None else (None, None, country)

    rows: list[tuple[object, ...]] = []
    positions = (table[name].to_pylist() for name in ("latitude_deg", "longitude_deg", "place_country_code"))
    for latitude, longitude, country in zip(*positions, strict=True):
        if latitude is None or longitude is None:
            rows.append((None,) * len(columns))
        elif privacy == "city":
            rows.append(by_city(latitude, longitude))
        else:
            rows.append(by_country(country or gazetteer.place(latitude, longitude).country_code))
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [pa.array(list(of), type=wanted.schema.field(name).type) for name, of in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(arrays, schema=wanted.schema)
