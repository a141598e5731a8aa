"""Erasures: every table, folder and document, what others keep, kills between all steps, and a proof that can fail."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from media_assets.pipeline.erasure.documents import owner_pseudonym
from media_assets.pipeline.erasure.erase import ErasureIncompleteError, ErasureLeaseError, erase
from media_assets.pipeline.erasure.local_files import state_of
from media_assets.pipeline.erasure.objects import RULES
from media_assets.pipeline.erasure.plan import Target, UnknownTargetError, make_plan, names_of
from media_assets.pipeline.erasure.refusals import lift_refusals, restore_refusals
from media_assets.pipeline.erasure.rows import all_rows
from media_assets.pipeline.library import Library
from media_assets.storage import catalog, keys
from media_assets.storage.consents import ConsentRecord, publish_records, read_records, record_consent
from media_assets.storage.erasure_records import Certificate, ErasurePlan, certificates, open_plans
from media_assets.storage.ledger_copies import SharedCopy
from media_assets.storage.people_edits import FaceReference, PeopleEdit, read_edits, record_edit
from media_assets.storage.schemas import TABLES
from media_assets.storage.tables import PartWriter
from media_assets.storage.traces import Needles
from media_assets_tests.conftest import Drop
from media_assets_tests.unit.pipeline.batches import Ingest, listed
from media_assets_tests.unit.storage.table_rows import row

pytestmark = pytest.mark.usefixtures("_shared_decoder")

AT = datetime(2026, 5, 6, tzinfo=UTC)
STEPS = (
    *("pieces", "refusals", "ledger", "inbox", "objects", "documents", "rows", "derived files", "Dagster", "logs"),
    *("space", "proof", "certificate"),
)


def bmp(seed: int) -> bytes:
    """An uncompressed picture of noise: its bytes are like no others."""
    width = height = 40
    pixels = np.random.default_rng(seed).integers(0, 255, width * height * 3, np.uint8).tobytes()
    header = b"BM" + (54 + len(pixels)).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return header + info + (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24) + pixels


ALICE, BOB = "alice/of-alice.bmp", "bob/of-bob.bmp"
FILES = {ALICE: bmp(1), BOB: bmp(2), "alice/broken.jpg": b"\xff\xd8 no picture" + bytes(range(200))}


class NoDagster:
    """What an erasure asks of Dagster, without Dagster."""

    def __init__(self) -> None:
        self.erased: list[str] = []

    def check_idle(self) -> None: ...

    def erase(self, media_ids: Collection[str], names: Collection[str]) -> Mapping[str, int]:
        self.erased = sorted(media_ids)
        return {"dagster_events": 3}

    def give_space_back(self) -> None: ...

    def places_naming(self, names: Collection[str]) -> list[str]:
        return []

    def knows_run(self, run_id: str) -> bool:
        return True


def run(library: Library, plan: ErasurePlan, **options: Any) -> Certificate:
    return erase(library, plan, NoDagster(), state_of([library.settings.state_dir]), **options)


def erased(library: Library, **target: Any) -> Certificate:
    return run(library, make_plan(library, Target(**target)))


def walk(library: Library, *needles: bytes) -> set[str]:
    """Every file below the library that holds one of these; the inbox is the users' own."""
    root, searched = library.settings.library_root, Needles(needles)
    found = set()
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and not name.startswith("inbox/"):
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += repr(pq.ParquetFile(path).read().to_pylist()).encode()
            if searched.find(content) or searched.find(name.encode()):
                found.add(name)
    return found


def telling(*source_keys: str) -> list[bytes]:
    return [text.encode() for key in source_keys for text in (key, keys.media_id(key))]


@pytest.fixture
def processed(library: Library, drop: Drop, ingest: Ingest) -> Library:
    drop(FILES)
    ingest(library)
    library.compact()
    return library


def fill_all_tables(library: Library, *source_keys: str) -> None:
    """Write a row, and a tombstone, about each file into every table that has rows of files."""
    writer = PartWriter(library.store, "filler")
    for table in [one for one in TABLES.values() if not one.is_register]:
        for key in source_keys:
            media_id = keys.media_id(key)
            entry = library.ledger.entries([media_id])[media_id]
            common: dict[str, Any] = {"owner": entry.owner, "computed_at": AT}
            if table.name == "embeddings":
                plain = {"media_id": media_id, "input_version": "x", "code_version": "x", "vector": [0.5] * 8, "dim": 8}
                writer.append(table.name, entry.month, [plain | common])
            else:
                writer.append(table.name, entry.month, [row(table.name, media_id, **common)])
            writer.remove(table.name, entry.month, [media_id], AT.replace(year=2020))


def media_ids_in(library: Library, table: str) -> set[str]:
    return {
        str(one) for _, data in all_rows(library.store, table, ["media_id"]) for one in data["media_id"].to_pylist()
    }


def test_every_folder_of_the_library_has_its_rule(processed: Library) -> None:
    named = {value for name, value in vars(keys).items() if name.endswith(("_FOLDER", "PEOPLE_EDITS"))}
    assert {folder.partition("/")[0] for folder in named} <= set(RULES), "say in RULES what erasing does to it"
    root = processed.settings.library_root
    own = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert own - {"inbox"} <= set(RULES)


def test_no_row_is_left_in_any_table(processed: Library) -> None:
    fill_all_tables(processed, ALICE, BOB)
    processed.compact()
    fill_all_tables(processed, ALICE, BOB)  # parts that the catalog has not absorbed
    gone, stays = keys.media_id(ALICE), keys.media_id(BOB)
    tables = [name for name, table in TABLES.items() if not table.is_register]
    assert all({gone, stays} <= media_ids_in(processed, name) for name in tables)
    before = {name: catalog.read_current(processed.store, name).num_rows for name in tables}
    certificate = erased(processed, media_ids=(ALICE,))
    for name in tables:
        assert gone not in media_ids_in(processed, name), name
        assert stays in media_ids_in(processed, name), name
        assert certificate.erased[f"rows_{name}"] >= 2, name
    processed.compact()
    for name in tables:
        assert gone not in catalog.read_current(processed.store, name)["media_id"].to_pylist()
        assert 0 < catalog.read_current(processed.store, name).num_rows <= before[name]
    assert walk(processed, *telling(ALICE)) == set()


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_before_any_step_is_completed(processed: Library, drop: Drop, ingest: Ingest, step: str) -> None:
    class Killed(BaseException):
        pass

    def on_step(name: str) -> None:
        if name == step:
            raise Killed

    plan = make_plan(processed, Target(owner="alice"))
    with pytest.raises(Killed):
        run(processed, plan, on_step=on_step)
    for left in open_plans(processed.store) or [plan]:
        certificate = run(processed, left)
    assert open_plans(processed.store) == []
    assert certificates(processed.store) == [certificate]
    assert walk(processed, *telling(ALICE, "alice/broken.jpg")) == set()
    assert certificate.erased["media_files"] == 2
    assert certificate.erased["originals"] == certificate.erased["quarantine"] == 1
    assert certificate.kept["uploads_left_in_inbox"] == 2
    # What was deleted before the kill is compared by the upload that is still there.
    assert certificate.erased["originals_compared"] >= 1
    assert certificate.searched["pieces"] >= 8
    assert walk(processed, *telling(BOB))
    assert ingest(processed) == {}
    assert walk(processed, *telling(ALICE)) == set()


def test_the_steps_are_those_that_are_killed_above(processed: Library) -> None:
    steps: list[str] = []
    run(processed, make_plan(processed, Target(owner="alice")), on_step=steps.append)
    assert tuple(steps) == STEPS


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("stray/copy.bin", FILES[ALICE]),
        ("originals/bob/2026/05/" + "a" * 64 + ".bmp", b"\0" * 5000 + FILES[ALICE][1000:4000]),
        ("stray/note.txt", f"see {ALICE}".encode()),
        (f"stray/{keys.media_id(ALICE)}.txt", b"anything"),
        (".dagster/storage/leftover.db", FILES[ALICE]),
    ],
)
def test_the_proof_fails_loudly_when_something_is_left(processed: Library, place: str, content: bytes) -> None:
    path = processed.settings.library_root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    plan = make_plan(processed, Target(media_ids=(ALICE,)))
    with pytest.raises(ErasureIncompleteError, match="Nothing is certified") as failed:
        run(processed, plan)
    assert [one for one in failed.value.left if one.endswith(path.name)]
    assert certificates(processed.store) == []
    (left,) = open_plans(processed.store)
    path.unlink()
    assert run(processed, left).erasure_id == plan.erasure_id


def test_rows_of_others_do_not_name_what_is_gone(processed: Library, ingest: Ingest, drop: Drop) -> None:
    drop({"alice/twin.bmp": FILES[ALICE], "alice/third.bmp": FILES[ALICE]})
    ingest(processed)
    month = processed.ledger.entries([keys.media_id(ALICE)])[keys.media_id(ALICE)].month
    gone = keys.media_id(ALICE)
    twins = {keys.media_id(name) for name in ("alice/twin.bmp", "alice/third.bmp")}
    writer = PartWriter(processed.store, "filler")
    now = datetime.now(UTC)
    common = {"owner": "alice", "computed_at": now}
    writer.append("metadata", month, [row("metadata", one, pair_media_id=gone, **common) for one in twins])
    group = [row("near_duplicates", one, representative_media_id=gone, **common) for one in twins]
    writer.append("near_duplicates", month, group)
    processed.compact()
    certificate = erased(processed, media_ids=(ALICE,))
    assert certificate.kept["originals_of_others"] == 1
    processed.compact()
    files = {one["media_id"]: one["duplicate_of"] for one in current(processed, "files") if one["owner"] == "alice"}
    assert set(files) == twins
    (first,) = [one for one, named in files.items() if named is None]
    assert {named for one, named in files.items() if one != first} == {first}
    assert [one["pair_media_id"] for one in current(processed, "metadata") if one["media_id"] in twins] == [None, None]
    assert current(processed, "near_duplicates") == []
    (key,) = {one["original_path"] for one in current(processed, "files") if one["owner"] == "alice"}
    assert processed.store.get_bytes(key) == FILES[ALICE]
    assert walk(processed, *telling(ALICE)) == set()


def current(library: Library, table: str) -> list[dict[str, Any]]:
    return catalog.read_current(library.store, table).to_pylist()


def test_edits_reviews_and_consents_go_or_lose_the_name(processed: Library) -> None:
    store = processed.store
    alice, bob = (FaceReference(media_id=keys.media_id(key), frame_s=None, box_px=(0, 0, 1, 1)) for key in (ALICE, BOB))
    edit = PeopleEdit(action="name", owner="bob", recorded_at=AT, person_id="p-1", faces=(alice, bob), name="Bo")
    record_edit(store, edit)
    record_edit(store, edit.model_copy(update={"faces": (alice,)}))
    record_edit(store, edit.model_copy(update={"owner": "alice", "name": "Al"}))
    said = ConsentRecord(owner="alice", purpose="faces", granted=True, recorded_by="Alice S.", recorded_at=AT, note="x")
    record_consent(store, said)
    record_consent(store, said.model_copy(update={"owner": "bob", "recorded_by": "clerk"}))
    publish_records(store)
    for key in (ALICE, BOB):
        store.put_bytes(keys.review_key(keys.owner_of(key), keys.media_id(key), AT, "0" * 8), b"{}")
    certificate = erased(processed, owner="alice")
    assert [one.faces for one in read_edits(store, "bob")] == [(bob,)]
    assert read_edits(store, "alice") == []
    by_owner = {one.owner: one for one in read_records(store)}
    assert set(by_owner) == {owner_pseudonym("alice"), "bob"}
    kept = by_owner[owner_pseudonym("alice")]
    assert (kept.purpose, kept.granted, kept.note, kept.recorded_by) == ("faces", True, None, owner_pseudonym("alice"))
    shown = {one["owner"] for one in current(processed, "consents")}
    assert shown == set(by_owner)
    assert len(list(store.list(keys.REVIEWS_FOLDER))) == 1
    assert certificate.kept["consents_without_name"] == 1
    assert certificate.erased["people_edits_documents"] == 3
    assert certificate.erased["reviews_documents"] == 1
    assert walk(processed, b"alice", b"Alice") == set()


def test_a_person_is_erased_with_the_files_in_which_they_were_recognised(processed: Library) -> None:
    month = processed.ledger.entries([keys.media_id(ALICE)])[keys.media_id(ALICE)].month
    common = {"computed_at": datetime.now(UTC)}
    writer = PartWriter(processed.store, "filler")
    mine = row("people", keys.media_id(ALICE), owner="alice", person_id="p-00000000000a", name="Zaphod", **common)
    writer.append("people", month, [mine])
    edit = PeopleEdit(
        action="name",
        owner="alice",
        recorded_at=AT,
        person_id="p-00000000000a",
        faces=(FaceReference(media_id="other-000000000000", frame_s=None, box_px=(0, 0, 1, 1)),),
        name="Zaphod",
    )
    record_edit(processed.store, edit)
    plan = make_plan(processed, Target(person="Zaphod"))
    assert plan.media_ids == (keys.media_id(ALICE),)
    certificate = run(processed, plan)
    assert certificate.kind == "person"
    assert walk(processed, b"Zaphod", *telling(ALICE)) == set()
    assert walk(processed, *telling("alice/broken.jpg"))


def test_what_was_erased_is_refused_by_a_new_ledger_too(processed: Library, drop: Drop, ingest: Ingest) -> None:
    certificate = erased(processed, media_ids=(ALICE,))
    processed.ledger.forget_everything()
    processed.ledger.lift_refusals(certificate.erasure_id)
    assert restore_refusals(processed) == 1
    assert keys.media_id(ALICE) not in waiting(processed)
    assert lift_refusals(processed, certificate.erasure_id) == 1
    assert restore_refusals(processed) == 0
    assert keys.media_id(ALICE) in waiting(processed)


def waiting(library: Library) -> set[str]:
    """Files that a listing has put into batches."""
    return {one.media_id for batch in listed(library) for one in library.ledger.batch_members(batch.batch_id)}


def test_uploads_go_too_when_it_is_asked_for(processed: Library, drop: Drop, ingest: Ingest) -> None:
    inbox = Path(processed.settings.inbox_url)
    plan = make_plan(processed, Target(owner="alice"))
    (inbox / "alice" / "broken.jpg").write_bytes(b"another version")
    certificate = run(processed, plan, also_inbox=True)
    assert certificate.erased["inbox_uploads"] == 1
    assert certificate.refused == ()
    assert [path.name for path in sorted(inbox.rglob("*")) if path.is_file()] == ["broken.jpg", "of-bob.bmp"]


def test_uploads_that_were_moved_out_are_found(
    make_library: Callable[..., Library], drop: Drop, ingest: Ingest
) -> None:
    from media_assets.pipeline.departures import depart

    library = make_library(after_ingest="move")
    drop(FILES)
    ingest(library)
    assert depart(library, library.inbox()).left == 2
    done = Path(library.settings.inbox_done_url)
    assert (done / ALICE).is_file()
    plan = make_plan(library, Target(media_ids=(ALICE,)))
    certificate = run(library, plan)
    assert certificate.kept["uploads_left_in_inbox"] == 1
    assert (done / ALICE).is_file()


def test_copies_that_may_leave_the_library_go(processed: Library) -> None:
    published = {}
    for key in (ALICE, BOB):
        entry = processed.ledger.entries([keys.media_id(key)])[keys.media_id(key)]
        path = keys.shareable_key(entry.owner, keys.media_id(key)[-12:].rjust(32, "0"), "picture.jpg")
        processed.store.put_bytes(path, b"a copy")
        values = {"media_id": entry.media_id, "owner": entry.owner, "month": entry.month, "input_version": "f" * 64}
        processed.ledger.record_copies([SharedCopy(path=path, state="published", holder="", at=AT, **values)])
        published[key] = path
    certificate = erased(processed, media_ids=(ALICE,))
    assert certificate.erased["shareable"] == 1
    assert [info.key for info in processed.store.list(keys.SHAREABLE_FOLDER)] == [published[BOB]]
    assert [copy.path for copy in processed.ledger.copies()] == [published[BOB]]


def test_names_are_searched_for_as_others_write_them_too(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"ann/Früh stück.bmp": bmp(5), "ann/Früh stück.bmp.bmp": bmp(6), "bob/x.bmp": bmp(7)})
    ingest(library)
    plan = make_plan(library, Target(media_ids=("bob/x.bmp", "ann/Früh stück.bmp.bmp")))
    names = names_of(plan, ["ann/Früh stück.bmp"])
    assert {"bob/x.bmp", "ann/Fr\\u00fch st\\u00fcck.bmp.bmp", "ann/Fr%C3%BCh%20st%C3%BCck.bmp.bmp"} <= set(names)
    # What is part of the name of a file that stays tells nothing.
    plan = make_plan(library, Target(media_ids=("ann/Früh stück.bmp",)))
    assert not [name for name in names_of(plan, ["ann/Früh stück.bmp.bmp", "bob/x.bmp"]) if "bmp" in name]


def test_files_of_state_are_deleted_or_lose_the_name(processed: Library) -> None:
    state = processed.settings.state_dir
    (scratch,) = [processed.store.scratch_dir()]
    line = f"cannot read {ALICE} ({keys.media_id(ALICE)}), but {BOB}\n"
    contents = {
        state / "service-logs" / "daemon.log": line.encode(),
        state / "search-index" / "model" / "segment.arrow": b"vectors",
        state / "query-cache" / "copy.parquet": b"rows",
        scratch / "0123-run-01234567" / "half-written.bmp": FILES[ALICE],
        state / "my-own-notes.txt": line.encode(),
    }
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    certificate = erased(processed, owner="alice")
    log, *gone, own = contents
    hidden = line.replace(ALICE, "x" * len(ALICE)).replace(keys.media_id(ALICE), "x" * len(keys.media_id(ALICE)))
    assert log.read_text() == hidden
    assert [path for path in gone if path.exists()] == []
    assert own.read_bytes() == line.encode()  # what somebody else has put there is his
    assert (certificate.erased["log_files"], certificate.erased["derived_files"]) == (1, 3)


def test_one_erasure_at_a_time(processed: Library) -> None:
    plan = make_plan(processed, Target(owner="alice"))
    with processed.ledger.lease("catalog", "somebody else"), pytest.raises(ErasureLeaseError, match="catalog"):
        run(processed, plan)
    assert walk(processed, *telling(ALICE))
    with pytest.raises(UnknownTargetError):
        make_plan(processed, Target(owner="carol"))
