"""``media-assets retry`` on a library whose ledger holds what was refused, given up and in work."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner

from media_assets.cli import main
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import this_process
from media_assets.storage.ledger_schema import Batch
from media_assets_tests.conftest import Drop
from media_assets_tests.pictures import jpeg, truncated_jpeg
from media_assets_tests.unit.pipeline.batches import entry_of, listed, start

Call: TypeAlias = Callable[..., tuple[int, Any]]

pytestmark = pytest.mark.usefixtures("_shared_decoder")


@pytest.fixture
def call(library: Library) -> Call:
    def invoke(*arguments: str) -> tuple[int, Any]:
        done = CliRunner().invoke(main, ["retry", "--library", library.settings.library, "--json", *arguments])
        assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, json.loads(done.stdout) if done.exit_code != 2 else done.output

    return invoke


def give_up(library: Library, batch: Batch) -> Batch:
    now = datetime.now(UTC)
    return library.ledger.reopen_batch(batch, message="It failed.", not_before=now, max_attempts=1)


@pytest.fixture
def refused(library: Library, drop: Drop) -> Iterator[Library]:
    """Three files: sound, cut off, and one that was found to kill its process."""
    drop({"ok.jpg": jpeg(1), "cut.jpg": truncated_jpeg(), "killer.jpg": jpeg(3)})
    (batch,) = listed(library)
    killer = entry_of(library, "killer.jpg")
    library.ledger.condemn(batch, killer, "run_killed", "It kills.", is_untouchable=False)
    assert len(list(start(library, batch, "r1"))) == 1
    library.ledger.finish_batch(batch.batch_id)
    assert library.ledger.counts() == {"accepted": 1, "rejected": 2}
    yield library


def test_nothing_named_is_wrong_usage(call: Call, refused: Library) -> None:
    assert "--rejected" in call()[1]
    code, said = call("--reason", "truncated")
    assert (code, "--reason goes with --rejected" in said) == (2, True)


def test_rejected_means_reasons_that_may_have_passed(call: Call, refused: Library) -> None:
    code, said = call("--rejected")
    assert code == 0
    assert [one["source_key"] for one in said["files"]] == ["killer.jpg"]
    assert said["next"] == [f"Next: media-assets process {refused.inbox().url.removeprefix('file://')}"]
    (batch,) = listed(refused)
    list(start(refused, batch, "r2"))
    entry = entry_of(refused, "killer.jpg")
    assert (entry.state, entry.problem, entry.problem_message) == ("accepted", None, None)


def test_a_named_reason_is_tried_again_whatever_it_is(call: Call, refused: Library) -> None:
    _, said = call("--rejected", "--reason", "truncated")
    assert [one["source_key"] for one in said["files"]] == ["cut.jpg"]
    (batch,) = listed(refused)
    list(start(refused, batch, "r2"))
    assert entry_of(refused, "cut.jpg").state == "rejected"
    assert entry_of(refused, "killer.jpg").problem == "run_killed"


def test_a_dry_run_changes_nothing(call: Call, refused: Library) -> None:
    _, said = call("--all", "--dry-run")
    assert said["dry_run"] is True
    assert len(said["files"]) == 1
    assert refused.ledger.counts() == {"accepted": 1, "rejected": 2}


def test_single_uploads_are_named_by_key(call: Call, refused: Library) -> None:
    code, said = call("--key", "cut.jpg", "--key", "ok.jpg", "--key", "none.jpg")
    assert code == 1
    assert [one["source_key"] for one in said["files"]] == ["cut.jpg"]
    left = {one["name"]: one["reason"] for one in said["left_alone"]}
    assert left.keys() == {"ok.jpg", "none.jpg"}
    assert "media-assets reprocess" in left["ok.jpg"]
    assert entry_of(refused, "cut.jpg").state == "pending"


def test_a_batch_that_was_given_up_waits_again_with_a_new_run_key(call: Call, library: Library, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (batch,) = listed(library)
    library.ledger.record_death(batch, 1, datetime.now(UTC), is_shared=False)
    given_up = give_up(library, batch)
    assert given_up.state == "exhausted"
    code, said = call("--all")
    assert (code, [one["batch_id"] for one in said["batches"]]) == (0, [batch.batch_id])
    again = library.ledger.batch(batch.batch_id)
    assert again is not None
    assert (again.state, again.run_key != given_up.run_key) == ("pending", True)
    assert library.ledger.deaths(batch.batch_id) == []


def test_what_is_in_work_is_left_alone(call: Call, library: Library, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (batch,) = listed(library)
    library.ledger.start_batch(batch.batch_id, "r1", this_process())
    code, said = call("--batch", batch.batch_id, "--batch", "unknown", "--key", "a.jpg")
    assert code == 1
    assert said["batches"] == []
    left = {one["name"]: one["reason"] for one in said["left_alone"]}
    assert left[f"batch {batch.batch_id}"] == "It is in work."
    assert "There is no such batch" in left["batch unknown"]
    library.ledger.start_batch(batch.batch_id, "r1", f"{this_process().rsplit(':', 2)[0]}:999999999:1.00")
    code, said = call("--batch", batch.batch_id)
    assert (code, [one["batch_id"] for one in said["batches"]]) == (0, [batch.batch_id])


def test_a_name_that_cannot_be_read_is_not_tried_again(call: Call, library: Library, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (batch,) = listed(library)
    entry = entry_of(library, "a.jpg")
    library.ledger.condemn(batch, entry, "name_not_utf8", "Rename the file.", is_untouchable=False)
    list(start(library, batch, "r1"))
    code, said = call("--key", "a.jpg")
    assert (code, said["files"]) == (1, [])
    assert said["left_alone"] == [{"name": "a.jpg", "reason": "Rename the file."}]
