"""What owners allow, and what is computed of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from media_assets.models.findings import PictureFindings
from media_assets.models.records import TextLine
from media_assets.pipeline.analysis import run_analysis
from media_assets.pipeline.analysis_pool import AssetFindings, LookItem
from media_assets.pipeline.analysis_selection import select_analysis
from media_assets.pipeline.assets import ANALYZE_ASSETS
from media_assets.pipeline.consent import PURPOSES, Consents, Purpose, read_consents
from media_assets.pipeline.library import Library
from media_assets.pipeline.privacy_policy import PrivacyPolicy, read_policy
from media_assets.pipeline.selection import RunIdentity
from media_assets.pipeline.staleness import freshness_of
from media_assets.settings import SettingsError
from media_assets.storage import catalog, keys
from media_assets.storage.consents import ConsentRecord, publish_records, read_records, record_consent
from media_assets.storage.errors import CatalogError
from media_assets_tests import fake_models
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.fake_models import Pool, found
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest

pytestmark = pytest.mark.usefixtures("_shared_decoder")

NOW = datetime.now(UTC)


def said(
    owner: str, purpose: Purpose, *, granted: bool, days: float = 0, ends_in: float | None = None
) -> ConsentRecord:
    return ConsentRecord(
        owner=owner,
        purpose=purpose,
        granted=granted,
        recorded_by="clerk",
        recorded_at=NOW + timedelta(days=days),
        expires_at=None if ends_in is None else NOW + timedelta(days=ends_in),
        note="form 7",
    )


# ---------------------------------------------------------------- what counts


def test_without_a_word_nothing_identifies_people_and_nothing_leaves() -> None:
    consents = Consents((), PrivacyPolicy())
    allowed = {purpose for purpose in PURPOSES if consents.allows("ann", purpose)}
    assert allowed == {"faces", "text", "location", "analysis"}
    assert consents.reason("ann", "recognition") == "policy"


def test_the_newest_record_of_an_owner_counts_whatever_their_order() -> None:
    records = [
        said("ann", "recognition", granted=False, days=-1),
        said("ann", "recognition", granted=True, days=-2),
        said("ben", "recognition", granted=True, days=-2),
    ]
    consents = Consents(records, PrivacyPolicy())
    assert not consents.allows("ann", "recognition")
    assert consents.reason("ann", "recognition") == "revoked"
    assert consents.allows("ben", "recognition")
    assert consents.reason("ben", "recognition") == "granted"


def test_a_permission_ends_and_does_not_fall_back_to_the_policy() -> None:
    consents = Consents([said("ann", "text", granted=True, days=-2, ends_in=-1)], PrivacyPolicy())
    assert not consents.allows("ann", "text")
    assert consents.reason("ann", "text") == "expired"
    assert consents.allows("ann", "text", NOW - timedelta(days=1.5))
    before = Consents([said("ann", "text", granted=True, days=-2, ends_in=1)], PrivacyPolicy())
    assert before.version_of("ann") != consents.version_of("ann")


def test_the_policy_decides_where_nothing_was_said(make_library: MakeLibrary, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[default]\ntext = "denied"\n[owners.ann]\ntext = "allowed"\npublication = "allowed"\n')
    library = make_library(privacy_policy=path, recognition_owners=("ben",))
    record_consent(library.store, said("eve", "text", granted=True))
    consents = read_consents(library)
    answers = {one: [purpose for purpose in PURPOSES if consents.allows(one, purpose)] for one in ("ann", "ben", "eve")}
    assert answers == {
        "ann": ["faces", "text", "location", "analysis", "publication"],
        "ben": ["faces", "recognition", "location", "analysis"],
        "eve": ["faces", "text", "location", "analysis"],
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[default]\nsmell = "denied"\n', "smell"),
        ("[default]\ntext = false\n", "text = False"),
        ('[defaults]\ntext = "denied"\n', r"\[defaults\]"),
        ("[default\n", "no TOML"),
        ('owners = "ann"\n', r"\[owners.alice\]"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(
    make_library: MakeLibrary, tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=named):
        read_policy(make_library(privacy_policy=path).settings)


def test_a_policy_that_is_not_there_is_refused(make_library: MakeLibrary, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read"):
        read_policy(make_library(privacy_policy=tmp_path / "missing.toml").settings)


# ---------------------------------------------------------------- the register


def test_records_are_kept_for_ever_and_shown_as_a_table(library: Library) -> None:
    first, second = said("ann", "faces", granted=True, days=-1), said("ann", "faces", granted=False)
    record_consent(library.store, second)
    record_consent(library.store, first)
    assert read_records(library.store) == [first, second]
    assert publish_records(library.store)
    assert not publish_records(library.store)
    rows = catalog.read_current(library.store, "consents").to_pylist()
    assert [(row["owner"], row["granted"], row["note"]) for row in rows] == [
        ("ann", True, "form 7"),
        ("ann", False, "form 7"),
    ]
    library.compact()
    assert catalog.row_count(library.store, "consents") == 2


def test_a_damaged_record_stops_everything_that_needs_consent(library: Library) -> None:
    key = record_consent(library.store, said("ann", "faces", granted=True))
    library.store.put_bytes(key.replace(".json", "0.json"), b"{}")
    with pytest.raises(CatalogError, match="no record of consent"):
        read_consents(library)


# ---------------------------------------------------------------- what is computed


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = fake_models.install(monkeypatch)
    line = TextLine("call 555", 0.9, ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)))

    def answer(asset: str, item: LookItem) -> AssetFindings:
        if asset == "texts":
            return AssetFindings(found=(PictureFindings(texts=(line,)),) * len(item.paths))
        return found(asset, item)

    pool.answer = answer
    return pool


@pytest.fixture
def two(library: Library, drop: Drop, ingest: Ingest) -> Iterator[Library]:
    drop({"ann/a.jpg": jpeg(1), "ben/b.jpg": jpeg(2)})
    ingest(library)
    yield library


def analyze(library: Library, run_id: str, *source_keys: str) -> None:
    run = RunIdentity(run_id, run_id)
    ids = [keys.media_id(key) for key in source_keys]
    for _ in run_analysis(
        library, select_analysis(library.ledger, ids, ANALYZE_ASSETS, run, only_missing=False).items, run
    ):
        pass


def rows(library: Library, table: str, owner: str) -> list[dict[str, Any]]:
    library.compact()
    return [row for row in catalog.read_current(library.store, table).to_pylist() if row["owner"] == owner]


@pytest.mark.parametrize(
    ("purpose", "tables"),
    [("analysis", {"embeddings", "objects", "scenes", "safety"}), ("faces", {"faces"}), ("text", {"texts"})],
)
def test_what_is_not_allowed_is_not_asked_for_and_its_reason_is_in_a_table(
    two: Library, pool: Pool, purpose: Purpose, tables: set[str]
) -> None:
    record_consent(two.store, said("ann", purpose, granted=False))
    analyze(two, "r1", "ann/a.jpg", "ben/b.jpg")
    for table in ANALYZE_ASSETS:
        assert bool(rows(two, table, "ann")) == (table not in tables), table
        assert rows(two, table, "ben"), table
    asked = {frozenset(item.assets) for task in pool.asked for item in task}
    assert asked == {frozenset(ANALYZE_ASSETS), frozenset(ANALYZE_ASSETS) - tables}
    skipped = {row["asset"]: (row["purpose"], row["reason"]) for row in rows(two, "skipped", "ann")}
    expected = dict.fromkeys(tables, (purpose, "no_consent"))
    assert skipped == expected | ({} if purpose == "faces" else {"people": ("recognition", "no_consent")})
    # Nothing is left to be done, and nothing is out of date.
    assert two.ledger.unanalyzed(ANALYZE_ASSETS) == {}
    assert {state for asset in ANALYZE_ASSETS for _, state in freshness_of(two, asset)} == {"current"}


def test_a_consent_that_is_withdrawn_while_models_look_leaves_no_row(two: Library, pool: Pool) -> None:
    record_consent(two.store, said("ann", "recognition", granted=True, days=-1))
    answer = pool.answer

    def withdrawn(asset: str, item: LookItem) -> AssetFindings:
        if len(read_records(two.store)) == 1:
            for purpose in ("text", "recognition"):
                record_consent(two.store, said("ann", purpose, granted=False))
        return answer(asset, item)

    pool.answer = withdrawn
    analyze(two, "r1", "ann/a.jpg")
    assert pool.asked[0][0].recognizes
    assert "texts" in pool.asked[0][0].assets
    assert rows(two, "texts", "ann") == []
    (face,) = rows(two, "faces", "ann")
    assert (face["embedding"], face["embedding_model"]) == (None, None)
    assert {row["asset"] for row in rows(two, "skipped", "ann")} == {"texts", "people"}


def test_rows_of_an_earlier_run_go_with_the_next_one(two: Library, pool: Pool) -> None:
    analyze(two, "r1", "ann/a.jpg")
    assert rows(two, "objects", "ann")
    record_consent(two.store, said("ann", "analysis", granted=False))
    assert dict(freshness_of(two, "objects"))[keys.media_id("ann/a.jpg")] == "out_of_date"
    analyze(two, "r2", "ann/a.jpg")
    assert rows(two, "objects", "ann") == []
