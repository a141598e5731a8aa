"""Which months can be archived, and what is said about the others."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from media_assets.pipeline.archive import hindrances_text, month_states, months_since
from media_assets.storage import keys
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=70)


@pytest.mark.parametrize(
    ("month", "now", "expected"),
    [
        ("2026-03", datetime(2026, 3, 31, 23, 59, tzinfo=UTC), -1),
        ("2026-03", datetime(2026, 4, 1, tzinfo=UTC), 0),
        ("2025-12", datetime(2026, 2, 1, tzinfo=UTC), 1),
        ("2024-12", datetime(2026, 2, 28, tzinfo=UTC), 13),
        ("2026-03", datetime(2026, 4, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), -1),  # it is March in UTC
    ],
)
def test_months_since(month: str, now: datetime, expected: int) -> None:
    assert months_since(month, now) == expected


@pytest.mark.usefixtures("_shared_decoder")
def test_a_month_can_be_archived_when_it_is_old_and_in_the_catalog(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    library = make_library()
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    ingest(library)
    for batch in library.ledger.unfinished(9):
        library.ledger.finish_batch(batch.batch_id)
    (state,) = month_states(library, LATER)
    assert (state.month, state.files, state.archived) == (keys.month_of(NOW), 2, 0)
    assert set(state.hindrances) == {"not_in_catalog"}
    library.compact()
    (state,) = month_states(library, LATER)
    assert state.can_be_archived
    (state,) = month_states(library, NOW)
    assert state.hindrances == {"too_young": 1}
    assert not state.can_be_archived

    analysing = make_library(analyze=True)
    (state,) = month_states(analysing, LATER)
    assert state.hindrances == {"unanalyzed": 2}
    library.ledger.archive_month(state.month)
    (state,) = month_states(library, LATER)
    assert (state.archived, state.can_be_archived) == (2, False)


def test_hindrances_are_said_in_words() -> None:
    assert hindrances_text({}) == ""
    every = ("waiting", "in_batches", "sidecars", "failed", "unanalyzed", "not_in_catalog", "too_young")
    said = hindrances_text(dict.fromkeys(every, 7))
    assert said.count("7") == len(every)
