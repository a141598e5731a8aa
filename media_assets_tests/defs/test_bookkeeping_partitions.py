"""The kept list of partitions: always that of the database, whoever changes it, and read only when it changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from hypothesis import given, settings
from hypothesis import strategies as st

from media_assets.defs.bookkeeping.sqlite import EventLogStorage

_changes = st.lists(
    st.one_of(
        st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True),  # added
        st.sampled_from("abcdef"),  # deleted
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventLogStorage, SqliteEventLogStorage]]:
    """Ours, and Dagster's own on the same files: another process."""
    folder = str(tmp_path_factory.mktemp("partitions"))
    ours = EventLogStorage(folder)
    yield ours, SqliteEventLogStorage(folder)
    ours.dispose()


@settings(max_examples=40, deadline=None)
@given(changes=_changes)
def test_the_list_is_that_of_the_database(
    pair: tuple[EventLogStorage, SqliteEventLogStorage], changes: list[list[str] | str]
) -> None:
    ours, other = pair
    for key in list(other.get_dynamic_partitions("media")):
        other.delete_dynamic_partition("media", key)
    assert ours.get_dynamic_partitions("media") == []
    for change in changes:
        if isinstance(change, str):
            other.delete_dynamic_partition("media", change)
        else:
            other.add_dynamic_partitions("media", change)
        assert ours.get_dynamic_partitions("media") == other.get_dynamic_partitions("media")


def test_the_list_is_read_once_and_nobody_can_change_what_is_kept(tmp_path: Path) -> None:
    storage = EventLogStorage(str(tmp_path))
    storage.add_dynamic_partitions("media", ["a", "b"])
    storage.add_dynamic_partitions("other", ["c"])
    lists = 0

    def count(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal lists
        lists += statement.startswith("SELECT dynamic_partitions.partition ") and statement.endswith(".id")

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        found = storage.get_dynamic_partitions("media")
        assert isinstance(found, list)
        found.clear()
        assert storage.get_dynamic_partitions("media") == ["a", "b"]
        assert storage.get_dynamic_partitions("other") == ["c"]
        assert lists == 2
        storage.add_dynamic_partitions("media", ["d"])
        assert storage.get_dynamic_partitions("media") == ["a", "b", "d"]
        assert lists == 3
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
        storage.dispose()
