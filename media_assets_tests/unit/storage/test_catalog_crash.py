from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_assets.storage import catalog, keys
from media_assets.storage.catalog import check_unique, compact, current_files, pending_parts, read_current
from media_assets.storage.errors import StoreUnreachable
from media_assets.storage.objects import ObjectStore, open_store
from media_assets.storage.tables import PartWriter, list_parts, read_part
from media_assets_tests.unit.storage.catalog_probe import JUNE, MAY, WatchedStore, kinds_of, manifest, visible
from media_assets_tests.unit.storage.table_rows import at, renditions, row

IDS = {"a-1": MAY, "b-1": MAY, "c-1": JUNE}
KINDS = ("clip", "poster", "preview")

appends = st.tuples(
    st.just("append"),
    st.sampled_from(["run-1", "run-2"]),
    st.dictionaries(st.sampled_from(sorted(IDS)), st.sets(st.sampled_from(KINDS), min_size=1), min_size=1),
    st.integers(0, 4),
)
removals = st.tuples(
    st.just("remove"),
    st.sampled_from(["run-1", "run-2"]),
    st.sets(st.sampled_from(sorted(IDS)), min_size=1),
    st.integers(0, 4),
)
compactions = st.tuples(
    st.just("compact"),
    st.sampled_from(["kill before", "kill after", "append", "finish"]),
    st.integers(1, 20),
)


class Killed(BaseException):
    """The process dies."""


def model(store: ObjectStore, names: dict[str, set[str]] | None = None) -> list[tuple[str, str, int]]:
    """What is current by the rule, computed in the plainest way from all parts, or from the named ones."""
    latest: dict[str, tuple[tuple, list[tuple[str, str, int]]]] = {}
    gone: dict[str, object] = {}
    for key in list_parts(store, "renditions"):
        part = keys.parse_part_key(key)
        assert part is not None
        if names is not None and key.rpartition("/")[2] not in names.get(part.month, set()):
            continue
        by_id = defaultdict(list)
        for found in read_part(store, key).to_pylist():
            by_id[found["media_id"]].append(found)
        for media_id, rows in by_id.items():
            computed_at = rows[0]["computed_at"]
            if part.removed:
                gone[media_id] = max(gone.get(media_id, computed_at), computed_at)
                continue
            age = (computed_at, part.run_id, part.n)
            if media_id not in latest or age > latest[media_id][0]:
                latest[media_id] = age, [(media_id, found["kind"], found["width_px"]) for found in rows]
    current = [
        found
        for media_id, (age, rows) in latest.items()
        if media_id not in gone or age[0] > gone[media_id]
        for found in rows
    ]
    return sorted(current)


class Library:
    """A library in memory on which steps of the property test are done."""

    def __init__(self) -> None:
        self.store = WatchedStore(open_store("memory://"))
        self.width = 0  # tells every computation from every other

    def append(self, run: str, media: dict[str, set[str]], seconds: int) -> None:
        self.width += 1
        for month in {IDS[media_id] for media_id in media}:
            rows = [
                found
                for media_id, kinds in media.items()
                if IDS[media_id] == month
                for found in renditions(media_id, sorted(kinds), seconds, width_px=self.width)
            ]
            PartWriter(self.store.inner, run).append("renditions", month, rows)

    def remove(self, run: str, media_ids: set[str], seconds: int) -> None:
        for month in {IDS[media_id] for media_id in media_ids}:
            here = [media_id for media_id in media_ids if IDS[media_id] == month]
            PartWriter(self.store.inner, run).remove("renditions", month, here, at(seconds))

    def compact(self, event: str, call: int) -> int:
        """Compact while something happens at the call of that number; returns how many calls there were."""
        calls = 0

        def act(kind: str) -> None:
            if calls == call and event == kind:
                raise Killed

        def before() -> None:
            nonlocal calls
            calls += 1
            act("kill before")
            if calls == call and event == "append":
                self.append("run-2", {"a-1": {"clip"}, "c-1": {"clip"}}, 3)

        def after() -> None:
            self.check_what_current_names()
            act("kill after")

        self.store.before, self.store.after = before, after
        try:
            compact(self.store, ["renditions"])
        except Killed:
            assert event.startswith("kill")
        finally:
            self.store.before = self.store.after = lambda: None
        return calls

    def check_what_current_names(self) -> None:
        """Whatever has happened, CURRENT names files that exist and hold the state of the parts that it names."""
        inner = self.store.inner
        if not inner.exists("catalog/renditions/CURRENT.json"):
            return
        months = manifest(inner, "renditions")["months"]
        found = [
            (r["media_id"], r["kind"], r["width_px"])
            for month in months.values()
            for r in catalog.read_parquet(inner, month["file"]).to_pylist()
        ]
        assert sorted(found) == model(inner, {month: set(entry["parts"]) for month, entry in months.items()})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(appends, removals, compactions), min_size=1, max_size=10))
def test_killed_anywhere_the_next_compaction_gives_the_state_of_all_parts(steps: list[tuple]) -> None:
    library = Library()
    for name, *arguments in steps:
        getattr(library, name)(*arguments)
    library.compact("finish", 0)
    store = library.store.inner
    assert kinds_of(store) == model(store)
    assert pending_parts(store) == 0
    assert check_unique(store, "renditions") == []
    files = visible(store, "renditions")
    assert sorted(key for keys_ in files.values() for key in keys_) == current_files(store, "renditions")
    assert all(len(keys_) == 1 for keys_ in files.values())


@pytest.mark.parametrize("event", ["kill before", "kill after", "append"])
def test_something_at_every_single_call_is_survived(event: str) -> None:
    def interrupted_at(call: int) -> int:
        library = Library()
        store = library.store.inner
        library.append("run-1", {"a-1": {"clip", "poster"}, "b-1": {"clip"}, "c-1": {"clip"}}, 1)
        library.compact("finish", 0)
        library.append("run-1", {"a-1": {"preview"}, "c-1": {"preview"}}, 2)
        library.remove("run-2", {"b-1"}, 2)
        calls = library.compact(event, call)
        library.compact("finish", 0)
        width = 3 if event == "append" and call else 2
        kind = "clip" if width == 3 else "preview"
        assert kinds_of(store) == [("a-1", kind, width), ("c-1", kind, width)]
        assert all(len(files) == 1 for files in visible(store, "renditions").values())
        return calls

    calls = interrupted_at(0)
    assert calls > 10
    for call in range(1, calls + 1):
        interrupted_at(call)


def test_a_store_that_fails_leaves_the_old_state_and_its_own_error() -> None:
    store = WatchedStore(open_store("memory://"))
    PartWriter(store.inner, "run-1").append("files", MAY, [row("files", "a-1")])
    compact(store)
    PartWriter(store.inner, "run-1").append("files", MAY, [row("files", "b-1")])

    def fail() -> None:
        raise StoreUnreachable("The store does not answer. Try again.")

    store.before = fail
    with pytest.raises(StoreUnreachable):
        compact(store)
    store.before = lambda: None
    assert read_current(store, "files")["media_id"].to_pylist() == ["a-1"]
