"""From listings to batches, on a real ledger and with an inbox that is a list."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_assets.pipeline.intake import SweepResult, plan_batches, sweep
from media_assets.storage import keys
from media_assets.storage.inbox import InboxObject, Page
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import Batch, Outcome

INBOX = "file:///in"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@contextmanager
def open_ledger() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{Path(folder) / 'ledger.db'}")
        try:
            yield ledger
        finally:
            ledger.close()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger() as opened:
        yield opened


def upload(key: str, size_bytes: int = 1, etag: str = "1") -> InboxObject:
    return InboxObject(key, etag, size_bytes, NOW)


@dataclass
class ListInbox:
    """An inbox whose listing is a list; ``asked`` are the positions that pages were asked for."""

    objects: list[InboxObject]
    url: str = INBOX
    asked: list[str | None] = field(default_factory=list)

    def list(self, after: str | None, limit: int) -> Page:
        self.asked.append(after)
        behind = sorted((one for one in self.objects if after is None or one.source_key > after), key=_key)
        page = behind[:limit]
        return Page(tuple(page), page[-1].source_key if len(behind) > limit else None)

    def fetch(self, source_key: str, etag: str, size_bytes: int, dest: Path, max_bytes: int) -> str:
        raise AssertionError("a sweep reads no file")

    def head(self, source_key: str) -> InboxObject | None:
        raise AssertionError("a sweep asks for pages only")


def _key(found: InboxObject) -> str:
    return found.source_key


def plan(
    ledger: Ledger, partitions: Sequence[str], *, max_files: int = 100, max_bytes: int = 1000
) -> list[tuple[Batch, list[str]]]:
    """Plan, and return each batch with its source keys."""
    order = {media_id: at for at, media_id in enumerate(partitions)}
    made = plan_batches(ledger, INBOX, lambda: order, max_files=max_files, max_bytes=max_bytes)
    return [(batch, [entry.source_key for entry in ledger.batch_members(batch.batch_id)]) for batch in made]


# ---------------------------------------------------------------- sidecars


def test_sidecars_are_counted_apart_and_planned_with_their_files(ledger: Ledger) -> None:
    names = ["a.jpg", "a.xmp", "b.jpg", "b.jpg.json", "c.jpg", "c.xmp", "package.json"]
    found = sweep(ledger, ListInbox([upload(name) for name in names]), page_size=2, max_pages=None, take_over=True)
    assert found == SweepResult(listed=7, new=4, conflicts=(), completed=True, sidecars=3)
    assert [keys_ for _, keys_ in plan(ledger, [])] == [["a.jpg", "b.jpg", "c.jpg", "package.json"]]
    assert plan(ledger, []) == []


def test_files_of_changed_sidecars_are_batched_with_their_neighbours_behind_the_new_files(ledger: Ledger) -> None:
    names = [f"{letter}.jpg" for letter in "abcde"]
    sweep(ledger, ListInbox([upload(name) for name in names]), page_size=9, max_pages=None, take_over=True)
    entries = ledger.entries([keys.media_id(name) for name in names])
    ledger.record_results(
        [Outcome(one, "metadata", "materialized", "a" * 64, "1-x", "run", "run", NOW) for one in entries],
        accepted=[(entry, "a" * 64, "originals/x") for entry in entries.values()],
    )
    changed = [upload(name) for name in ("a.xmp", "b.xmp", "d.xmp", "new.jpg")]
    found = sweep(ledger, ListInbox(changed), page_size=9, max_pages=None, take_over=True)
    assert (found.new, found.sidecars) == (1, 3)
    planned = plan(ledger, [keys.media_id(name) for name in names])
    assert [(batch.is_refresh, members) for batch, members in planned] == [
        (False, ["new.jpg"]),
        (True, ["a.jpg", "b.jpg"]),
        (True, ["d.jpg"]),
    ]
    assert [(batch.first_media_id, batch.last_media_id) for batch, _ in planned[1:]] == [
        (keys.media_id("a.jpg"), keys.media_id("b.jpg")),
        (keys.media_id("d.jpg"), keys.media_id("d.jpg")),
    ]
    assert plan(ledger, [keys.media_id(name) for name in names]) == []


# ---------------------------------------------------------------- sweeps


def test_a_bounded_sweep_goes_on_where_it_stopped_and_starts_over_at_the_end(ledger: Ledger) -> None:
    inbox = ListInbox([upload(f"{n}.jpg") for n in range(5)])

    def tick() -> SweepResult:
        return sweep(ledger, inbox, page_size=2, max_pages=1, take_over=True)

    assert [tick() for _ in range(4)] == [
        SweepResult(2, 2, (), completed=False),
        SweepResult(2, 2, (), completed=False),
        SweepResult(1, 1, (), completed=True),
        SweepResult(2, 0, (), completed=False),
    ]
    assert inbox.asked == [None, "1.jpg", "3.jpg", None]


def test_an_upload_before_the_position_is_found_by_the_next_sweep(ledger: Ledger) -> None:
    inbox = ListInbox([upload("b.jpg"), upload("c.jpg"), upload("d.jpg")])
    sweep(ledger, inbox, page_size=2, max_pages=1, take_over=True)
    inbox.objects.append(upload("a.jpg"))
    assert sweep(ledger, inbox, page_size=2, max_pages=1, take_over=True).new == 1  # d
    assert sweep(ledger, inbox, page_size=2, max_pages=1, take_over=True).new == 1  # a


def test_an_unbounded_sweep_takes_everything_whatever_was_begun(ledger: Ledger) -> None:
    inbox = ListInbox([upload(f"{n}.jpg") for n in range(5)])
    sweep(ledger, inbox, page_size=2, max_pages=2, take_over=True)
    listed: list[int] = []
    found = sweep(ledger, inbox, page_size=2, max_pages=None, take_over=True, on_page=listed.append)
    assert found == SweepResult(5, 1, (), completed=True)
    assert listed == [2, 4, 5]


def test_an_empty_inbox_is_swept(ledger: Ledger) -> None:
    found = sweep(ledger, ListInbox([]), page_size=2, max_pages=1, take_over=True)
    assert found == SweepResult(0, 0, (), completed=True)
    status = ledger.sweep_status(INBOX)
    assert status is not None
    assert status.completed_at is not None


def test_conflicts_of_all_pages_are_reported(ledger: Ledger) -> None:
    sweep(ledger, ListInbox([upload(f"{n}.jpg") for n in range(4)]), page_size=9, max_pages=None, take_over=True)
    other = ListInbox([upload(f"{n}.jpg", etag="2") for n in range(4)], url="file:///other")
    found = sweep(ledger, other, page_size=2, max_pages=None, take_over=False)
    assert found.conflicts == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")


# ---------------------------------------------------------------- batches


def test_nothing_waiting_asks_for_no_partitions(ledger: Ledger) -> None:
    def refuse() -> Mapping[str, int]:
        raise AssertionError("the instance was asked for all partitions without need")

    assert plan_batches(ledger, INBOX, refuse, max_files=1, max_bytes=1) == []


def test_batches_are_limited_by_files_and_by_bytes(ledger: Ledger) -> None:
    sizes = {"a": 40, "b": 60, "c": 1, "d": 1, "e": 1, "f": 1}
    ledger.record_page(INBOX, [upload(key, size) for key, size in sizes.items()], None, take_over=True)
    made = plan(ledger, [], max_files=3, max_bytes=100)
    assert [members for _, members in made] == [["a", "b"], ["c", "d", "e"], ["f"]]
    assert [batch.size_bytes for batch, _ in made] == [100, 3, 1]


def test_a_huge_file_is_alone(ledger: Ledger) -> None:
    ledger.record_page(INBOX, [upload("a", 5), upload("b", 101), upload("c", 5)], None, take_over=True)
    assert [members for _, members in plan(ledger, [], max_bytes=100)] == [["a"], ["b"], ["c"]]


def test_planning_again_makes_no_second_batch_of_the_same_upload(ledger: Ledger) -> None:
    ledger.record_page(INBOX, [upload("a")], None, take_over=True)
    assert len(plan(ledger, [])) == 1
    assert plan(ledger, []) == []


def test_new_versions_share_a_batch_with_their_neighbours_only(ledger: Ledger) -> None:
    partitions = [keys.media_id(key) for key in "abcdef"]
    ledger.record_page(INBOX, [upload(key) for key in ("f", "new", "a", "b", "d")], None, take_over=True)
    made = plan(ledger, partitions)
    assert [sorted(members) for _, members in made] == [["new"], ["a", "b"], ["d"], ["f"]]
    together = made[1][0]
    assert (together.first_media_id, together.last_media_id) == (partitions[0], partitions[1])


_FILES = st.dictionaries(
    st.integers(0, 30).map(lambda n: f"{n}.jpg"),
    st.tuples(st.integers(0, 30), st.booleans()),  # size, whether its partition exists
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(files=_FILES, strangers=st.integers(0, 5), seed=st.randoms(), max_files=st.integers(1, 8), max_bytes=st.just(40))
def test_every_upload_is_in_one_batch_whose_range_covers_nothing_else(
    files: dict[str, tuple[int, bool]], strangers: int, seed: object, max_files: int, max_bytes: int
) -> None:
    existing = [keys.media_id(key) for key, (_, known) in files.items() if known]
    existing += [keys.media_id(f"stranger-{n}") for n in range(strangers)]
    seed.shuffle(existing)  # type: ignore[attr-defined]
    with open_ledger() as ledger:
        found = [upload(key, size) for key, (size, _) in files.items()]
        ledger.record_page(INBOX, found, None, take_over=True)
        made = plan(ledger, existing, max_files=max_files, max_bytes=max_bytes)
        # Partitions are added in the order of the batches and of their members, as the sensor does.
        order = list(existing)
        for batch, _ in made:
            order += [e.media_id for e in ledger.batch_members(batch.batch_id) if e.media_id not in existing]
        assert sorted(key for _, members in made for key in members) == sorted(files)
        assert ledger.open_batches(INBOX, 1000) == [batch for batch, _ in made]
        for batch, members in made:
            covered = order[order.index(batch.first_media_id) : order.index(batch.last_media_id) + 1]
            assert sorted(covered) == sorted(keys.media_id(key) for key in members)
            assert len(members) <= max_files
            assert len(members) == 1 or sum(files[key][0] for key in members) <= max_bytes
            assert batch.file_count == len(members)


def test_a_piece_of_a_sweep_is_bounded_by_time_too_and_gets_on(ledger: Ledger) -> None:
    inbox = ListInbox([upload(f"{at}.jpg") for at in range(6)])
    first = sweep(ledger, inbox, page_size=2, max_pages=10, take_over=True, max_seconds=0.0)
    assert (first.listed, first.completed) == (2, False)
    whole = sweep(ledger, inbox, page_size=2, max_pages=None, take_over=True, max_seconds=0.0)
    assert (whole.listed, whole.completed) == (6, True)
