"""Job and sensor that follow consents, on an instance whose event log lies on disk."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from media_assets.defs.asset_events import count_asset_events, forget_asset_events
from media_assets.defs.build import build_definitions
from media_assets.defs.privacy import PRIVACY_JOB, follow_consents
from media_assets.defs.tags import analysis_tags
from media_assets.pipeline.assets import ANALYZE_ASSETS
from media_assets.pipeline.library import Library
from media_assets.storage import catalog, keys
from media_assets.storage.consents import ConsentRecord, Purpose, record_consent
from media_assets_tests import fake_models
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import World
from media_assets_tests.pictures import jpeg

pytestmark = pytest.mark.usefixtures("_shared_decoder")

ANN, BEN = (keys.media_id(f"{owner}/a.jpg") for owner in ("ann", "ben"))


@pytest.fixture
def analysed(library: Library, drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Pictures of two owners, ingested and analysed."""
    fake_models.install(monkeypatch)
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        world = World(library, instance, build_definitions(library=library))
        drop({"ann/a.jpg": jpeg(1), "ben/a.jpg": jpeg(2)})
        assert all(run.success for run in world.ingest())
        assert world.run(analysis_tags(*sorted((ANN, BEN))), ANALYZE_ASSETS, job="analyze_job").success
        library.compact()
        yield world


def say(library: Library, owner: str, purpose: Purpose, *, granted: bool) -> None:
    record = ConsentRecord(
        owner=owner, purpose=purpose, granted=granted, recorded_by="clerk", recorded_at=datetime.now(UTC)
    )
    record_consent(library.store, record)


def owners_in(library: Library, table: str) -> set[str]:
    return {row["owner"] for row in catalog.read_current(library.store, table, ["owner"]).to_pylist()}


def green(world: World, asset: str) -> set[str]:
    return set(world.instance.get_materialized_partitions(dg.AssetKey(asset)))


def test_without_a_change_nothing_is_started(analysed: World) -> None:
    tick = analysed.tick("privacy_sensor")
    assert (tick.run_requests, tick.skip_message) == ([], "All consents are followed.")


def test_a_withdrawn_consent_is_followed_by_the_next_run(analysed: World) -> None:
    assert green(analysed, "faces") == green(analysed, "objects") == {ANN, BEN}
    say(analysed.library, "ann", "faces", granted=False)
    (request,) = analysed.tick("privacy_sensor").run_requests
    assert analysed.run(request.tags, job=PRIVACY_JOB).success
    assert owners_in(analysed.library, "faces") == {"ben"}
    assert green(analysed, "faces") == {BEN}
    assert green(analysed, "objects") == {ANN, BEN}
    # In the UI and in the log of the run alike: no event with a drawing is left.
    assert count_asset_events(analysed.instance, "faces", [ANN]) == 0
    assert count_asset_events(analysed.instance, "faces", [BEN]) > 0
    assert analysed.status("faces")["materialized"] == {BEN}
    assert analysed.tick("privacy_sensor").skip_message == "All consents are followed."
    assert catalog.row_count(analysed.library.store, "consents") == 1


def test_a_consent_that_is_given_again_is_due_for_the_analysis_sensor(analysed: World) -> None:
    for granted in (False, True):
        say(analysed.library, "ann", "analysis", granted=granted)
        follow_consents(analysed.instance, analysed.library)
    assert analysed.library.ledger.unanalyzed(ANALYZE_ASSETS) == {ANN: {"embeddings", "objects", "scenes", "safety"}}


def test_while_another_run_goes_on_it_is_done_once_more_later(analysed: World) -> None:
    say(analysed.library, "ann", "faces", granted=False)
    job = analysed.definitions.resolve_job_def("analyze_job")
    going = analysed.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert not follow_consents(analysed.instance, analysed.library).is_settled
    assert owners_in(analysed.library, "faces") == {"ben"}
    # The tables were edited: they are not read again and again while it goes on.
    tick = analysed.tick("privacy_sensor")
    assert not tick.run_requests
    assert "once more after 1 runs that go on" in (tick.skip_message or "")
    analysed.instance.report_run_failed(going)
    assert len(analysed.tick("privacy_sensor").run_requests) == 1
    assert follow_consents(analysed.instance, analysed.library).is_settled
    assert analysed.tick("privacy_sensor").run_requests == []


def test_an_answer_that_a_tick_saw_before_it_was_taken_back_is_followed(
    analysed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = analysed.library.settings.model_copy(update={"recognition_owners": ("ann",)})
    with monkeypatch.context() as generous:
        generous.setattr(analysed.library, "settings", changed)
        assert len(analysed.tick("privacy_sensor").run_requests) == 1
    assert len(analysed.tick("privacy_sensor").run_requests) == 1
    assert follow_consents(analysed.instance, analysed.library).is_settled
    assert analysed.tick("privacy_sensor").run_requests == []


def test_a_run_that_has_not_started_is_not_waited_for(analysed: World) -> None:
    say(analysed.library, "ann", "faces", granted=False)
    job = analysed.definitions.resolve_job_def("analyze_job")
    analysed.instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED)
    assert follow_consents(analysed.instance, analysed.library).is_settled
    assert analysed.tick("privacy_sensor").skip_message == "All consents are followed."


def test_events_of_one_asset_of_some_partitions_are_forgotten(analysed: World) -> None:
    before = count_asset_events(analysed.instance, "objects", [ANN, BEN])
    assert forget_asset_events(analysed.instance, "objects", [ANN]) > 0
    assert count_asset_events(analysed.instance, "objects", [ANN]) == 0
    assert 0 < count_asset_events(analysed.instance, "objects", [ANN, BEN]) < before
    assert forget_asset_events(analysed.instance, "objects", [ANN]) == 0
    assert green(analysed, "scenes") == {ANN, BEN}
