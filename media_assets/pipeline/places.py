"""Names for the positions of a chunk: from data that are installed (default), or from an online service.

Runs in the run's process: workers have no network and no credentials, and the data would be loaded once for each.
What a look-up in installed data means is in ``media.places``; where answers are kept is in ``storage.ledger_places``.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from media_assets.media.places import NOWHERE, Gazetteer, Place, PlaceDataError
from media_assets.media.text import clean_text
from media_assets.pipeline.assets import METADATA
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.settings import Settings
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_places import Cell, PlaceLedger

Position: TypeAlias = tuple[float, float]
"""Latitude and longitude in degrees."""

REQUEST_SPACING = timedelta(seconds=1)
"""Least time between two requests, over all processes of a library: the usage policy of the public Nominatim."""

MAX_CHUNK_WAIT = timedelta(seconds=120)
"""How long the files of one chunk wait for an online geocoder. What is not answered by then has no place name."""

_MAX_FAILURES = 3  # in a row; then the rest of the chunk is not asked for
# Of Nominatim's address, the most exact first; which one is there depends on the country.
_CITY_KEYS = ("city", "town", "village", "municipality", "hamlet")
_REGION_KEYS = ("state", "region", "province", "state_district", "county")
_CITY_ZOOM = 13  # detail of the answer: villages and suburbs, no streets
_COUNTRY_CODE = re.compile(r"[A-Z]{2}")


class GeocodingStoppedError(Exception):
    """The work was stopped while places were looked up."""


class Geocoder(Protocol):
    """Names positions.

    Attributes:
        problem: Why positions stayed without a name the last time, for people; names no place.
        unanswered: How many positions stayed without a name so far.
    """

    problem: str | None
    unanswered: int

    def find(self, positions: Iterable[Position]) -> Mapping[Position, Place]:
        """Return the places of ``positions``; one that is missing could not be looked up."""
        ...


class NoGeocoder:
    """Names nothing."""

    problem: str | None = None
    unanswered = 0

    def find(self, positions: Iterable[Position]) -> Mapping[Position, Place]:
        """Return nothing."""
        return {}


class OfflineGeocoder:
    """Names positions from installed data, which are read at the first position."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.unanswered = 0
        self._gazetteer: Gazetteer | None = None

    def find(self, positions: Iterable[Position]) -> Mapping[Position, Place]:
        """Return the place of each position; of none if the data are damaged."""
        wanted = set(positions)
        if not wanted:
            return {}
        try:
            self._gazetteer = self._gazetteer or Gazetteer()
        except PlaceDataError as error:
            self.problem, self.unanswered = str(error), self.unanswered + len(wanted)
            return {}
        gazetteer = self._gazetteer
        return {position: gazetteer.place(*position) for position in wanted}


class NominatimGeocoder:
    """Names positions by a Nominatim server: politely, each cell of 0.001 degrees once, and never without a bound.

    Only the rounded position leaves the machine. At most one request per second, over all processes that share the
    ledger; after three failures in a row, or when the server asks for fewer requests, the rest of a chunk is not asked
    for; a chunk waits two minutes (plus one time-out) at most.

    Args:
        url: Base URL of the server; also the name under which its answers are kept.
        user_agent: Who asks, as the usage policy of Nominatim demands.
        timeout_s: How long the server may be silent (seconds).
        ledger: Where answers are kept.
        stop: Set to end a look-up.
        now: Clock; aware UTC.
        sleep: Waits; seconds.
    """

    def __init__(
        self,
        url: str,
        user_agent: str,
        timeout_s: float,
        ledger: PlaceLedger,
        stop: threading.Event,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.problem: str | None = None
        self.unanswered = 0
        self._url, self._user_agent, self._timeout_s = url.rstrip("/"), user_agent, timeout_s
        self._ledger, self._stop, self._now, self._sleep = ledger, stop, now, sleep

    def find(self, positions: Iterable[Position]) -> Mapping[Position, Place]:
        """Return the places of those positions that were answered, now or before.

        Raises:
            GeocodingStoppedError: ``stop`` was set.
            LedgerError: Answers cannot be read or kept.
        """
        cells = {position: cell_of(position) for position in positions}
        if not cells:
            return {}
        wanted = list(dict.fromkeys(cells.values()))
        known = self._ledger.known_places(self._url, wanted)
        self._ask_for([cell for cell in wanted if cell not in known], known)
        self.unanswered += sum(cell not in known for cell in cells.values())
        return {position: known[cell] for position, cell in cells.items() if cell in known}

    def _ask_for(self, cells: Sequence[Cell], known: dict[Cell, Place]) -> None:
        from geopy.exc import GeocoderRateLimited, GeopyError

        latest = self._now() + MAX_CHUNK_WAIT
        failures = 0
        for cell in cells:
            turn = self._ledger.take_turn(self._url, self._now(), REQUEST_SPACING, latest)
            if turn is None:
                self._report("there were more new positions than may be asked for in two minutes")
                return
            self._wait_for(turn)
            try:
                known[cell] = self._ask(cell)
            except GeocoderRateLimited:
                self._report("it asks for fewer requests")
                return
            # Of an answer that is JSON but no place, geopy and the lines below raise the built-in errors.
            except (GeopyError, AttributeError, KeyError, TypeError, ValueError) as error:
                self._report(_cause(error))
                failures += 1
                if failures == _MAX_FAILURES:
                    return
                continue
            failures = 0
            self._ledger.remember_place(self._url, cell, known[cell], self._now())

    def _wait_for(self, turn: datetime) -> None:
        while (left := (turn - self._now()).total_seconds()) > 0:
            if self._stop.is_set():
                raise GeocodingStoppedError
            self._sleep(min(left, 0.5))
        if self._stop.is_set():
            raise GeocodingStoppedError

    def _ask(self, cell: Cell) -> Place:
        import logging

        from geopy.adapters import URLLibAdapter
        from geopy.geocoders import Nominatim

        # It logs answers at INFO, which can name places.
        logging.getLogger("geopy").setLevel(logging.WARNING)
        parts = urlsplit(self._url)
        service = Nominatim(
            domain=parts.netloc + parts.path,
            scheme=parts.scheme,
            user_agent=self._user_agent,
            timeout=self._timeout_s,
            adapter_factory=URLLibAdapter,
        )
        point = (cell[0] / 1000, cell[1] / 1000)
        answer = service.reverse(point, language="en", zoom=_CITY_ZOOM, addressdetails=True)
        return NOWHERE if answer is None else _place(answer.raw["address"])

    def _report(self, cause: str) -> None:
        host = urlsplit(self._url).hostname
        self.problem = (
            f"The geocoder {host} did not name them: {cause}. Materialize `metadata` of these files again later; "
            "what was answered is not asked again."
        )


def cell_of(position: Position) -> Cell:
    """Return the cell of a position, in thousandths of a degree: one answer serves all of it."""
    latitude, longitude = (round(1000 * degrees) for degrees in position)
    return latitude, -180_000 if longitude == 180_000 else longitude


def _cause(error: Exception) -> str:
    """What went wrong, without the text of the error: that can hold the position."""
    from geopy.exc import GeocoderParseError, GeocoderServiceError, GeocoderTimedOut

    if isinstance(error, GeocoderTimedOut):
        return "it did not answer in time"
    if isinstance(error, GeocoderParseError) or not isinstance(error, GeocoderServiceError):
        return "it answered something that is not Nominatim's JSON"
    return f"it cannot be reached or refuses ({type(error).__name__})"


def _place(address: Mapping[str, object]) -> Place:
    def first(keys: Sequence[str]) -> str | None:
        for key in keys:
            value = address.get(key)
            if isinstance(value, str) and (text := clean_text(value)):
                return text
        return None

    code = str(address.get("country_code", "")).upper()
    country = code if _COUNTRY_CODE.fullmatch(code) else None
    return Place(first(_CITY_KEYS), first(_REGION_KEYS), country)


def open_geocoder(settings: Settings, ledger: Ledger, stop: threading.Event) -> Geocoder:
    """Return the geocoder that the settings choose. Nothing is loaded and nobody is asked before the first position."""
    if settings.geocoder == "offline":
        return OfflineGeocoder()
    if settings.geocoder == "nominatim" and settings.geocoder_user_agent is not None:
        return NominatimGeocoder(
            settings.geocoder_url, settings.geocoder_user_agent, settings.geocoder_timeout_s, ledger, stop
        )
    return NoGeocoder()


def with_places(geocoder: Geocoder, outcomes: Sequence[FileOutcome]) -> tuple[FileOutcome, ...]:
    """Return the outcomes of a chunk, those with a position and asked for metadata with the name of the place."""
    positions = [_position(outcome) for outcome in outcomes]
    places = geocoder.find(position for position in positions if position is not None)
    return tuple(
        outcome if position is None else replace(outcome, place=places.get(position, NOWHERE))
        for outcome, position in zip(outcomes, positions, strict=True)
    )


def _position(outcome: FileOutcome) -> Position | None:
    found = outcome.result.metadata if outcome.result is not None and METADATA in outcome.assets else None
    if found is None or found.latitude_deg is None or found.longitude_deg is None:
        return None
    return found.latitude_deg, found.longitude_deg
