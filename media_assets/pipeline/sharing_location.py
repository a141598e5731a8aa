"""How exactly the table of copies tells where a file was taken: exactly, by the centre of city or country, or not."""

from collections.abc import Mapping
from typing import Any

from media_assets.media.places import Gazetteer, PlaceDataError
from media_assets.pipeline.sharing_outcomes import SharedLocation
from media_assets.pipeline.sharing_recipe import LocationLevel

NOTHING = SharedLocation()


class SharedPlaces:
    """Rounds the positions of files; the data of places are read when the first one is rounded.

    Args:
        level: How exactly. A position that cannot be rounded so is not told at all.
    """

    def __init__(self, level: LocationLevel) -> None:
        self._level = level
        self._gazetteer: Gazetteer | None = None

    def of(self, row: Mapping[str, Any]) -> SharedLocation:
        """Return what may be told of a row of table ``metadata``."""
        latitude, longitude, country = row["latitude_deg"], row["longitude_deg"], row["place_country_code"]
        if self._level == "none" or latitude is None or longitude is None:
            return NOTHING
        if self._level == "exact":
            return SharedLocation("exact", latitude, longitude, row["place_city"], country)
        try:
            self._gazetteer = self._gazetteer or Gazetteer()
        except PlaceDataError:  # rather nothing than too much
            return NOTHING
        if self._level == "city":
            center = self._gazetteer.city_center(latitude, longitude)
            city = row["place_city"]
        else:
            center = self._gazetteer.country_center(country) if country is not None else None
            city = None
        return NOTHING if center is None else SharedLocation(self._level, *center, city, country)
