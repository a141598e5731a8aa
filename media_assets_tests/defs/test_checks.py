"""Verdicts of the asset checks on single files: in the events of their partitions, in the run, over the library."""

import io
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import dagster as dg
import pytest
from PIL import ExifTags, Image

from media_assets.defs.checks import INGEST_CHECKS, CheckFacts
from media_assets.media.places import Place
from media_assets.media.records import Metadata
from media_assets.pipeline.assets import INGEST_ASSETS, METADATA, OPTIMIZED, ORIGINAL, THUMBNAILS
from media_assets.pipeline.places import GeocodingStoppedError, NoGeocoder, Position
from media_assets.storage import catalog, keys
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World
from media_assets_tests.pictures import jpeg, truncated_jpeg

NAMES = {spec.name for spec in INGEST_CHECKS}
PASSED = dict.fromkeys(NAMES, "passed")


def photo(
    seed: int,
    *,
    taken: str | None = "2024:05:01 12:00:00",
    position: tuple[float, float] | None = (48.573, 7.815),
    altitude_m: int = 140,
    gps_date: str = "2024:05:01",
) -> bytes:
    """A photo with a time and a position; the default is a plausible one, in Kehl."""
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.OffsetTimeOriginal] = "+02:00"
    if position is not None:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                ExifTags.GPS.GPSLatitudeRef: "N" if position[0] >= 0 else "S",
                ExifTags.GPS.GPSLatitude: (abs(position[0]), 0.0, 0.0),
                ExifTags.GPS.GPSLongitudeRef: "E" if position[1] >= 0 else "W",
                ExifTags.GPS.GPSLongitude: (abs(position[1]), 0.0, 0.0),
                ExifTags.GPS.GPSAltitudeRef: b"\x00",
                ExifTags.GPS.GPSAltitude: altitude_m,
                ExifTags.GPS.GPSDateStamp: gps_date,
                ExifTags.GPS.GPSTimeStamp: (10.0, 0.0, 0.0),
            }
        )
    data = io.BytesIO()
    Image.open(io.BytesIO(jpeg(seed))).save(data, "JPEG", exif=exif.tobytes())
    return data.getvalue()


def shown(world: World, source_key: str) -> dict[str, str]:
    """Verdicts that the pages of a file's partition show, by check."""
    found: dict[str, str] = {}
    for asset in (ORIGINAL, METADATA, THUMBNAILS, OPTIMIZED):
        for line in str(world.events(asset, source_key)[0].metadata["checks"].value).splitlines():
            name, _, verdict = line.removeprefix("- ").partition(": ")
            assert name not in found
            found[name] = verdict
    return found


def results(done: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in done.get_asset_check_evaluations()}


def test_each_partition_shows_its_own_verdicts(world: World, drop: Drop) -> None:
    drop(
        {
            "good.jpg": photo(1),
            "plain.jpg": photo(2, taken=None, position=None),
            "high.jpg": photo(3, altitude_m=30_000),
            "clock.jpg": photo(4, gps_date="2019:05:01"),
        }
    )
    (run,) = world.ingest()
    assert run.success
    assert shown(world, "good.jpg") == PASSED
    assert shown(world, "plain.jpg") == PASSED  # knowing nothing is no failure
    high = shown(world, "high.jpg")
    assert high.pop("plausible_position") == "**WARN** `The altitude is not between -500 and 20000 m.`"
    assert set(high.values()) == {"passed"}
    assert "more than a day away from the time of the position fix" in shown(world, "clock.jpg")["plausible_time"]


def test_the_run_names_the_partitions_that_did_not_pass_and_links_their_pages(world: World, drop: Drop) -> None:
    drop({"bad.jpg": truncated_jpeg(), "good.jpg": photo(1), "high.jpg": photo(2, altitude_m=30_000)})
    (run,) = world.ingest()
    found = results(run)
    assert set(found) == NAMES
    assert {name for name, one in found.items() if not one.passed} == {"decodable", "plausible_position"}
    position = found["plausible_position"]
    assert position.severity == dg.AssetCheckSeverity.WARN
    assert position.description == "1 of 2 files did not pass."
    assert (position.metadata["checked"].value, position.metadata["not_passed"].value) == (2, 1)
    high = keys.media_id("high.jpg")
    assert position.metadata["first"].value == (
        f"- [{high}](/assets/metadata?view=partitions&partition={high}): "
        "`The altitude is not between -500 and 20000 m.`"
    )
    refused = str(found["decodable"].metadata["first"].value)  # its partition goes when the batch is closed: no link
    assert refused.startswith(f"- `{keys.media_id('bad.jpg')}`: `truncated")
    assert all(one.partition is None for one in found.values())


def test_a_run_judges_only_what_it_computed(world: World, drop: Drop) -> None:
    drop({"a.jpg": photo(1, altitude_m=30_000)})
    world.ingest()
    done = world.backfill("a.jpg", "a.jpg", "thumbnails")
    assert {name: one.passed for name, one in results(done).items()} == {"dimensions_match": True}
    assert world.events("thumbnails", "a.jpg")[0].metadata["checks"].value == "- dimensions_match: passed"


def test_originals_that_were_not_compared_do_not_pass(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(verify_originals=False)
    drop({"a.jpg": photo(1)})
    (run,) = world.ingest()
    assert run.success
    assert shown(world, "a.jpg")["checksum_matches"].startswith("**ERROR** `It was not compared")
    assert not results(run)["checksum_matches"].passed


def test_checks_alone_judge_the_whole_library_by_its_tables(world: World, drop: Drop) -> None:
    drop({"a.jpg": photo(1), "high.jpg": photo(2, altitude_m=30_000), "bad.jpg": truncated_jpeg()})
    world.ingest()
    world.library.compact()
    job = world.definitions.resolve_implicit_global_asset_job_def()
    for names in (NAMES, {"plausible_position"}, {"plausible_time", "decodable"}):
        chosen = {spec.key for spec in INGEST_CHECKS if spec.name in names}
        done = job.get_subset(asset_selection=set(), asset_check_selection=chosen).execute_in_process(
            instance=world.instance
        )
        found = results(done)
        assert set(found) == names
        counts = {
            name: (one.metadata["checked"].value, one.metadata["not_passed"].value) for name, one in found.items()
        }
        expected = {"decodable": (3, 1), "plausible_position": (2, 1)}
        assert counts == {name: expected.get(name, (2, 0)) for name in names}


def test_a_judgement_of_hostile_text_stays_text() -> None:
    facts = CheckFacts()
    facts.add("a-0123456789ab", {"plausible_time": ("`](javascript:alert(1)) <img src=x>`", "b", "c", "d" * 1000)})
    listed = str(facts.result("plausible_time").metadata["first"].value)
    reason = listed.partition(": ")[2]
    assert reason.startswith("`'](javascript")
    assert reason.count("`") == 2
    assert reason.endswith("` and 1 more")
    assert len(listed) < 500


def test_every_field_that_is_judged_is_a_column_of_the_table(world: World) -> None:
    from media_assets.defs.checks import _JUDGED

    assert set(_JUDGED) <= set(Metadata.__dataclass_fields__)
    assert catalog.read_current(world.library.store, "metadata", list(_JUDGED)).column_names == list(_JUDGED)


# ---------------------------------------------------------------- places


def places_of(world: World) -> dict[str, tuple[str | None, str | None, str | None]]:
    """City, region and country of each file by source key."""
    world.library.compact()
    names = {
        row["media_id"]: row["source_key"] for row in catalog.read_current(world.library.store, "files").to_pylist()
    }
    rows = catalog.read_current(world.library.store, METADATA).to_pylist()
    return {names[row["media_id"]]: (row["place_city"], row["place_region"], row["place_country_code"]) for row in rows}


def test_the_table_names_the_places_and_the_events_and_logs_do_not(
    world: World, drop: Drop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    drop({"kehl.jpg": photo(1), "sea.jpg": photo(2, position=(0.0, -30.0)), "plain.jpg": photo(3, position=None)})
    (run,) = world.ingest()
    assert places_of(world) == {
        "kehl.jpg": ("Kehl", "Baden-Wurttemberg", "DE"),
        "sea.jpg": (None, None, None),
        "plain.jpg": (None, None, None),
    }
    told = " ".join(str(event) for event in world.instance.all_logs(run.run_id)) + caplog.text
    assert "Baden-Wurttemberg" not in told
    assert "48.573" not in told


def test_places_can_be_left_out(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(geocoder="off")
    drop({"kehl.jpg": photo(1)})
    world.ingest()
    assert places_of(world) == {"kehl.jpg": (None, None, None)}
    offline = make_world()
    spec = {key.to_user_string(): node for key, node in _versions(world).items()}
    other = {key.to_user_string(): node for key, node in _versions(offline).items()}
    assert {asset for asset in INGEST_ASSETS if spec[asset] != other[asset]} == {METADATA}
    tags = world.events(METADATA, "kehl.jpg")[0].tags or {}
    assert tags["dagster/code_version"] == spec[METADATA]


def _versions(world: World) -> dict[dg.AssetKey, str | None]:
    graph = world.definitions.resolve_asset_graph()
    return {key: graph.get(key).code_version for key in graph.get_all_asset_keys()}


def test_a_geocoder_that_fails_is_said_once_and_fails_nothing(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(
        geocoder="nominatim",
        geocoder_url="http://127.0.0.1:9",  # nobody listens on the discard port
        geocoder_user_agent="media_assets tests",
        geocoder_timeout_s=1,
    )
    drop({"kehl.jpg": photo(1)})
    (run,) = world.ingest()
    assert run.success
    assert places_of(world) == {"kehl.jpg": (None, None, None)}
    warnings = [event.user_message for event in world.instance.all_logs(run.run_id) if event.level == logging.WARNING]
    (warning,) = [line for line in warnings if "place" in line]
    assert warning.startswith("1 positions have no place. The geocoder 127.0.0.1 did not name them")
    assert "48.5" not in warning


def test_a_run_that_is_stopped_while_places_are_looked_up_records_nothing(world: World, drop: Drop) -> None:
    class Stopped(NoGeocoder):
        def find(self, positions: Iterable[Position]) -> Mapping[Position, Place]:
            raise GeocodingStoppedError

    drop({"kehl.jpg": photo(1)})
    named, world.library.geocoder = world.library.geocoder, Stopped()
    (run,) = world.ingest()
    assert not run.success
    assert world.events(METADATA, "kehl.jpg") == []
    world.library.geocoder = named
    assert world.run(run.dagster_run.tags).success
    assert places_of(world) == {"kehl.jpg": ("Kehl", "Baden-Wurttemberg", "DE")}


def test_the_judgement_is_of_the_time_of_the_run(world: World, drop: Drop) -> None:
    ahead = datetime.now(UTC).year + 2
    drop({"future.jpg": photo(1, taken=f"{ahead}:01:01 00:00:00", position=None)})
    world.ingest()
    verdict = shown(world, "future.jpg")["plausible_time"]
    assert verdict.startswith("**WARN**")
