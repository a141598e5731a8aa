"""Place names of a chunk: the choice of the geocoder, and a real server on 127.0.0.1 that speaks Nominatim's JSON."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from media_assets.media.places import NOWHERE, Place, PlaceDataError
from media_assets.media.records import FileFacts, MediaResult, Metadata
from media_assets.pipeline import places
from media_assets.pipeline.assets import INGEST_ASSETS, METADATA, ORIGINAL, THUMBNAILS, code_version
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.places import (
    GeocodingStoppedError,
    NoGeocoder,
    NominatimGeocoder,
    OfflineGeocoder,
    open_geocoder,
    with_places,
)
from media_assets.pipeline.recipe import Recipe
from media_assets.settings import Settings, SettingsError
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import MediaEntry

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
BASEL, KEHL, OSLO = (47.55839, 7.57327), (48.573, 7.815), (59.9127, 10.7461)
ADDRESS = {"city": "Basel", "state": "Basel-Stadt", "country": "Switzerland", "country_code": "ch"}
ANSWER = {"lat": "47.558", "lon": "7.573", "display_name": "Basel, Switzerland", "address": ADDRESS}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.at += timedelta(seconds=seconds)


@dataclass
class Server:
    """A Nominatim on 127.0.0.1.

    Attributes:
        answers: ``(status, body)`` of the next requests; the last one is repeated.
        asked: Time of the fake clock, query and user agent of each request.
        release: Set to let a request go on that waits.
    """

    url: str
    clock: Clock
    answers: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, json.dumps(ANSWER).encode())])
    asked: list[tuple[datetime, dict[str, str], str]] = field(default_factory=list)
    silent: bool = False
    release: threading.Event = field(default_factory=threading.Event)

    def answer(self, *bodies: object) -> None:
        self.answers = [(200, body if isinstance(body, bytes) else json.dumps(body).encode()) for body in bodies]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            assert parts.path == "/base/reverse"
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            running.asked.append((clock.at, query, self.headers["User-Agent"]))
            if running.silent:
                running.release.wait(30)
                return
            status, body = running.answers.pop(0) if len(running.answers) > 1 else running.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Server(f"http://127.0.0.1:{listening.server_port}/base", clock)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.release.set()
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


MakeGeocoder = Callable[..., NominatimGeocoder]


@pytest.fixture
def make_geocoder(server: Server, ledger: Ledger, clock: Clock) -> MakeGeocoder:
    def make(timeout_s: float = 5.0, stop: threading.Event | None = None) -> NominatimGeocoder:
        return NominatimGeocoder(
            server.url,
            "media_assets tests",
            timeout_s,
            ledger,
            stop or threading.Event(),
            now=clock.now,
            sleep=clock.sleep,
        )

    return make


def test_a_position_is_asked_for_politely_and_rounded(make_geocoder: MakeGeocoder, server: Server) -> None:
    geocoder = make_geocoder()
    assert geocoder.find([BASEL]) == {BASEL: Place("Basel", "Basel-Stadt", "CH")}
    ((_, query, agent),) = server.asked
    assert (query["lat"], query["lon"], query["format"]) == ("47.558", "7.573", "json")
    assert (query["accept-language"], query["addressdetails"]) == ("en", "1")
    assert agent == "media_assets tests"
    assert geocoder.problem is None


def test_requests_are_a_second_apart_over_all_processes(make_geocoder: MakeGeocoder, server: Server) -> None:
    """Two geocoders on one ledger stand for two processes."""
    first, second = make_geocoder(), make_geocoder()
    first.find([(1.0, 1.0), (2.0, 2.0)])
    second.find([(3.0, 3.0), (4.0, 4.0)])
    first.find([(5.0, 5.0)])
    times = [at for at, _, _ in server.asked]
    assert len(times) == 5
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(times))
    assert times[-1] - START <= timedelta(seconds=4.001)


def test_nothing_is_asked_twice(make_geocoder: MakeGeocoder, server: Server) -> None:
    near = (BASEL[0] - 0.0003, BASEL[1])  # the same thousandth of a degree
    assert set(make_geocoder().find([BASEL, near, BASEL])) == {BASEL, near}
    assert make_geocoder().find([near])[near].city == "Basel"
    assert len(server.asked) == 1


def test_no_name_is_an_answer_too(make_geocoder: MakeGeocoder, server: Server) -> None:
    server.answer({"error": "Unable to geocode"})
    for _ in range(2):
        geocoder = make_geocoder()
        assert geocoder.find([(0.0, -30.0)]) == {(0.0, -30.0): NOWHERE}
        assert geocoder.problem is None
    assert len(server.asked) == 1


def test_both_sides_of_the_antimeridian_are_one_cell(make_geocoder: MakeGeocoder, server: Server) -> None:
    assert len(make_geocoder().find([(10.0, 180.0), (10.0, -180.0)])) == 2
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ({"village": "Bettingen", "county": "X", "country_code": "ch"}, Place("Bettingen", "X", "CH")),
        ({"town": "Kehl", "state": "Baden-Württemberg"}, Place("Kehl", "Baden-Württemberg", None)),
        ({"city": 7, "town": "\x00", "country_code": "Switzerland"}, NOWHERE),
        ({"city": "Bad\nName\x07" + "x" * 5000, "country_code": "<a"}, Place("Bad Name" + "x" * 992, None, None)),
        ({}, NOWHERE),
    ],
)
def test_addresses_are_read_with_care(
    make_geocoder: MakeGeocoder, server: Server, address: dict[str, object], expected: Place
) -> None:
    server.answer(ANSWER | {"address": address})
    assert make_geocoder().find([BASEL]) == {BASEL: expected}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff\xfe", b"[]", b"[1]", b"7", b'"text"', b'{"address": []}', b'{"lat": "north", "lon": 1}',
     b'{"error": {"code": 1}}', b'{"lat": "1", "lon": "2"}'],
    ids=repr,
)  # fmt: skip
def test_garbage_is_no_place_is_not_kept_and_is_said_once(
    make_geocoder: MakeGeocoder, server: Server, body: bytes
) -> None:
    server.answer(body, ANSWER)
    geocoder = make_geocoder()
    found = geocoder.find([BASEL, KEHL])
    if body == b"[]":  # geopy takes an empty answer for "no name here"
        assert found[BASEL] == NOWHERE
        return
    assert found == {KEHL: Place("Basel", "Basel-Stadt", "CH")}
    assert geocoder.problem is not None
    assert geocoder.unanswered == 1
    assert make_geocoder().find([BASEL])[BASEL].city == "Basel"


def test_a_server_that_asks_for_fewer_requests_is_left_alone(make_geocoder: MakeGeocoder, server: Server) -> None:
    server.answers = [(429, b"slow down"), (200, json.dumps(ANSWER).encode())]
    geocoder = make_geocoder()
    assert geocoder.find([BASEL, KEHL, OSLO]) == {}
    assert len(server.asked) == 1
    assert geocoder.unanswered == 3
    assert geocoder.problem is not None
    assert "fewer requests" in geocoder.problem


def test_a_silent_server_is_given_up_and_after_three_times_not_asked_again(
    make_geocoder: MakeGeocoder, server: Server
) -> None:
    server.silent = True
    geocoder = make_geocoder(timeout_s=0.05)
    assert geocoder.find([(float(n), 1.0) for n in range(20)]) == {}
    assert len(server.asked) == 3
    assert geocoder.unanswered == 20
    assert geocoder.problem is not None
    assert "did not answer in time" in geocoder.problem


@pytest.mark.parametrize(
    ("status", "cause"),
    [(403, "cannot be reached or refuses"), (500, "cannot be reached or refuses"), (503, "did not answer in time")],
)
def test_a_server_that_refuses(make_geocoder: MakeGeocoder, server: Server, status: int, cause: str) -> None:
    server.answers = [(status, b"no")]
    geocoder = make_geocoder()
    assert geocoder.find([BASEL]) == {}
    assert geocoder.problem is not None
    assert cause in geocoder.problem


def test_a_chunk_waits_for_a_bounded_time(make_geocoder: MakeGeocoder, server: Server, clock: Clock) -> None:
    geocoder = make_geocoder()
    found = geocoder.find([(n / 10, 1.0) for n in range(300)])
    assert clock.at - START <= places.MAX_CHUNK_WAIT
    assert len(found) == len(server.asked) == 121
    assert geocoder.unanswered == 179
    assert geocoder.problem is not None
    assert "two minutes" in geocoder.problem


def test_stopping_ends_the_look_up_and_keeps_what_was_answered(
    make_geocoder: MakeGeocoder, server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def sleep(seconds: float) -> None:
        clock.at += timedelta(seconds=seconds)
        stop.set()

    geocoder = make_geocoder(stop=stop)
    monkeypatch.setattr(geocoder, "_sleep", sleep)
    with pytest.raises(GeocodingStoppedError):
        geocoder.find([BASEL, KEHL])
    assert len(server.asked) == 1
    assert make_geocoder().find([BASEL])[BASEL].city == "Basel"
    assert len(server.asked) == 1


def test_neither_logs_nor_problems_name_a_place(
    make_geocoder: MakeGeocoder, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.answers = [(500, b"Basel 47.558 7.573"), (200, b"Basel"), (404, b"Basel")]
    geocoder = make_geocoder()
    geocoder.find([BASEL, KEHL, OSLO])
    text = f"{geocoder.problem} {caplog.text}"
    assert not any(word in text for word in ("Basel", "47.5", "7.57", "59.9"))


# ---------------------------------------------------------------- choice


def settings(**values: object) -> Settings:
    return Settings.load(library="lib", **values)


def test_the_setting_decides_who_is_asked(ledger: Ledger) -> None:
    stop = threading.Event()
    assert isinstance(open_geocoder(settings(), ledger, stop), OfflineGeocoder)
    assert isinstance(open_geocoder(settings(geocoder="off"), ledger, stop), NoGeocoder)
    online = settings(geocoder="nominatim", geocoder_user_agent="me@example.org")
    assert isinstance(open_geocoder(online, ledger, stop), NominatimGeocoder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"geocoder": "nominatim"}, r"Setting geocoder_user_agent: .*MEDIA_ASSETS_GEOCODER_USER_AGENT\."),
        ({"geocoder": "google"}, r"Setting geocoder: .*'offline', 'nominatim' or 'off'"),
        ({"geocoder_url": "file:///etc/passwd"}, r"Setting geocoder_url: .*http or https URL"),
        ({"geocoder_url": "https://ann:word@example.org"}, r"Setting geocoder_url: .*without a query, a user"),
        ({"geocoder_user_agent": "a\r\nHost: x"}, r"Setting geocoder_user_agent: .*printable"),
        ({"geocoder_timeout_s": 0}, r"Setting geocoder_timeout_s: "),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**values)


def test_the_choice_makes_metadata_stale_and_nothing_else() -> None:
    recipes = [Recipe(geocoder=name) for name in ("offline", "nominatim", "off")]
    assert len({code_version(METADATA, recipe) for recipe in recipes}) == 3
    for asset in (ORIGINAL, THUMBNAILS):
        assert len({code_version(asset, recipe) for recipe in recipes}) == 1


# ---------------------------------------------------------------- chunks

FACTS = FileFacts("image", "image/jpeg", "jpeg", "jpg", 4, 3)
ENTRY = MediaEntry(
    "a-0123456789ab", "a.jpg", "default", "/inbox", "2025-06", START, "etag", 1, START, START, "pending", None, 0,
    None, None, None, None, None,
)  # fmt: skip


def outcome(position: tuple[float, float] | None, assets: tuple[str, ...] = INGEST_ASSETS) -> FileOutcome:
    latitude, longitude = position or (None, None)
    metadata = Metadata(latitude_deg=latitude, longitude_deg=longitude)
    return FileOutcome(
        ENTRY, frozenset(assets), "materialized", "inbox", sha256="0" * 64, result=MediaResult(FACTS, metadata)
    )


def test_only_files_with_a_position_whose_metadata_are_asked_for_get_a_place() -> None:
    rejected = FileOutcome(ENTRY, frozenset(INGEST_ASSETS), "rejected", "inbox")
    chunk = [outcome(KEHL), outcome(None), outcome(KEHL, (THUMBNAILS,)), rejected, outcome((0.0, 0.0))]
    placed = with_places(OfflineGeocoder(), chunk)
    assert [one.place for one in placed] == [Place("Kehl", "Baden-Wurttemberg", "DE"), None, None, None, NOWHERE]
    assert placed[1:4] == tuple(chunk[1:4])


def test_data_are_loaded_once_and_only_for_a_position(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    class Few:
        def __init__(self) -> None:
            loaded.append(self)

        def place(self, *_: float) -> Place:
            return NOWHERE

    monkeypatch.setattr(places, "Gazetteer", Few)
    geocoder = OfflineGeocoder()
    assert geocoder.find([]) == {}
    assert loaded == []
    for _ in range(3):
        assert geocoder.find([BASEL]) == {BASEL: NOWHERE}
    assert len(loaded) == 1


def test_damaged_data_are_a_problem_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> None:
        raise PlaceDataError("Install the package again.")

    monkeypatch.setattr(places, "Gazetteer", damaged)
    geocoder = OfflineGeocoder()
    (placed,) = with_places(geocoder, [outcome(BASEL)])
    assert placed.place == NOWHERE
    assert (geocoder.problem, geocoder.unanswered) == ("Install the package again.", 1)
