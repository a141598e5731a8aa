"""The analyst's copy of tables that are full of what must not be in it."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from media_assets.pipeline.export.export import MANIFEST, ExportError, ExportOptions, export_tables
from media_assets.pipeline.export.policy import COLUMNS, LEFT_OUT, RULES, UndecidedColumnError, is_kept, rules_of
from media_assets.pipeline.export.reference import columns_reference
from media_assets.pipeline.export.rules import two_digits
from media_assets.pipeline.library import Library
from media_assets.storage import keys
from media_assets.storage.columns import HASH, STRING, VECTOR, Column, Table
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets.storage.schemas import TABLES
from media_assets_tests.unit.pipeline.analysed import Analysed

SECRET = "Zoe-Quartzfeld"
"""In every text of every table: none of it may be in a copy, but where a rule keeps a word of the program's own."""

LAUSANNE, ZURICH = (46.5190123, 6.6330456), (47.3701234, 8.5399876)


def place(at: tuple[float, float], city: str, country: str = "CH") -> dict[str, object]:
    return {"latitude_deg": at[0], "longitude_deg": at[1], "place_city": city, "place_country_code": country}


def exported(library: Library, folder: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """Write a copy; return its rows by table."""
    export_tables(library, folder, ExportOptions(**options))
    return {path.stem: pq.read_table(path).to_pylist() for path in folder.glob("*.parquet")}


TELLING: dict[str, tuple[str, ...]] = {
    "files": ("source_key", "file_name", "sha256", "original_path", "etag"),
    "metadata": (
        *("camera_make", "camera_model", "lens_make", "lens_model", "software", "white_balance", "icc_profile_name"),
        *("title", "description", "creator", "copyright", "live_photo_id", "tags_json"),
    ),
    "renditions": ("path", "public_url", "thumbhash"),
    "scenes": ("caption",),
    "texts": ("text",),
    "people": ("person_id", "name"),
    "near_duplicates": ("group_id", "representative_media_id"),
    "shareable": ("path", "sha256", "place_city"),
    "rejected": ("source_key", "sha256", "message", "etag"),
    "reviews": ("recorded_by", "note"),
}
"""Columns that tell who somebody is or which file is meant; written down here a second time, and by hand."""


def telling_row(table: Table) -> dict[str, Any]:
    """A row in which every column that can tell does."""
    lists = {"keywords": [SECRET], "warnings": [SECRET]} if table.name == "metadata" else {}
    return dict.fromkeys(TELLING.get(table.name, ()), SECRET) | {"input_version": SECRET} | lists


@pytest.fixture
def full(library: Library) -> Library:
    """One file of an owner with a telling name, in every table."""
    analysed = Analysed(library)
    for table in TABLES.values():
        if table.name not in ("embeddings", "consents"):
            analysed.write(table.name, {f"{SECRET}/{SECRET}.jpg": [telling_row(table)]})
    return library


def test_every_column_of_every_table_is_decided_and_nothing_else_is() -> None:
    for table in TABLES.values():
        rules = rules_of(table)
        assert (rules is None) == (table.name in LEFT_OUT)
        assert table.name in LEFT_OUT or set(COLUMNS[table.name]) == {column.name for column in table.columns}
    assert set(COLUMNS) | set(LEFT_OUT) == set(TABLES)
    assert {rule for of in COLUMNS.values() for rule in of.values()} == set(RULES)


def test_a_column_that_nobody_thought_about_is_not_exported() -> None:
    new = Table("files", "x", ("media_id",), (*TABLES["files"].columns, Column("owner_email", STRING, "x", "x")))
    with pytest.raises(UndecidedColumnError, match=r"files\.owner_email"):
        rules_of(new)
    with pytest.raises(UndecidedColumnError, match=r"wishes\.media_id"):
        rules_of(Table("wishes", "x", ("media_id",), TABLES["files"].columns))


@pytest.mark.parametrize("privacy", ["exact", "city", "country", "none"])
def test_no_name_text_path_or_id_is_in_any_file_of_a_copy(full: Library, tmp_path: Path, privacy: str) -> None:
    found = exported(full, tmp_path / "copy", privacy=privacy)
    assert {name for name, rows in found.items() if len(rows) == 1} == set(COLUMNS)
    media_id = keys.media_id(f"{SECRET}/{SECRET}.jpg")
    for name, rows in found.items():
        assert SECRET.lower() not in repr(rows).lower(), name
        assert media_id[-12:] not in repr(rows), name
        assert not {"sha256", "etag", "phash", "dhash", "thumbhash", "embedding", "landmarks"} & set(rows[0]), name
    for path in (tmp_path / "copy").iterdir():  # file metadata and statistics
        assert SECRET.encode() not in path.read_bytes(), path.name


def test_no_vector_hash_or_shape_of_a_face_is_in_any_copy() -> None:
    shapes = {TABLES["faces"].schema.field("landmarks").type, VECTOR, HASH}
    for name, rules in COLUMNS.items():
        kept = {column for column, rule in rules.items() if is_kept(rule, "exact")}
        assert not [one.name for one in TABLES[name].columns if one.name in kept and one.type in shapes], name


def test_rows_are_in_the_order_of_pseudonyms_not_of_file_names(library: Library, tmp_path: Path) -> None:
    rows = {f"alice/{name}.jpg": [{"width_px": at}] for at, name in enumerate("abcdefghijklmnop")}
    Analysed(library).write("files", rows)
    files = exported(library, tmp_path / "copy", privacy="none")["files"]
    assert [one["media_id"] for one in files] == sorted(one["media_id"] for one in files)
    assert [one["width_px"] for one in files] != sorted(one["width_px"] for one in files)


def test_pseudonyms_join_the_tables_of_one_copy_and_no_two_copies(full: Library, tmp_path: Path) -> None:
    first, second = (exported(full, tmp_path / name, privacy="city") for name in ("one", "two"))
    (file,), (meta,) = first["files"], first["metadata"]
    assert file["media_id"] == meta["media_id"] == first["objects"][0]["media_id"]
    assert file["owner"] == meta["owner"]
    assert file["media_id"].startswith("file-") and file["owner"].startswith("owner-")
    assert second["files"][0]["media_id"] != file["media_id"]
    assert second["files"][0]["owner"] != file["owner"]


def test_references_between_files_survive(library: Library, tmp_path: Path) -> None:
    analysed = Analysed(library)
    other = keys.media_id("alice/b.jpg")
    analysed.write("files", {"alice/a.jpg": [{"duplicate_of": other}], "alice/b.jpg": [{}]})
    rows = {
        one["duplicate_of"]: one["media_id"] for one in exported(library, tmp_path / "copy", privacy="none")["files"]
    }
    assert rows.keys() == {None, rows[None]}


def test_positions_become_those_of_the_city_or_country_and_differ_from_none_in_it(
    library: Library, tmp_path: Path
) -> None:
    analysed = Analysed(library)
    near = (LAUSANNE[0] + 0.0007, LAUSANNE[1] - 0.0006)
    details = {"altitude_m": 495.5, "timezone": "Europe/Zurich", "utc_offset_minutes": 120, "place_region": "Vaud"}
    analysed.write(
        "metadata",
        {
            "alice/a.jpg": [place(LAUSANNE, "a hamlet of five houses") | details],
            "alice/b.jpg": [place(near, "Lausanne")],
            "alice/c.jpg": [{}],
        },
    )
    city = [one for one in exported(library, tmp_path / "city", privacy="city")["metadata"] if one["latitude_deg"]]
    assert len({(one["latitude_deg"], one["longitude_deg"], one["place_city"]) for one in city}) == 1
    assert len(city) == 2
    assert city[0]["latitude_deg"] == pytest.approx(LAUSANNE[0], abs=0.05)
    assert city[0]["latitude_deg"] not in (LAUSANNE[0], near[0])
    assert city[0]["place_city"] == "Lausanne"
    assert "altitude_m" not in city[0]
    country = exported(library, tmp_path / "country", privacy="country")["metadata"]
    assert {(one["latitude_deg"], one["longitude_deg"]) for one in country if one["latitude_deg"]} == {(47.0, 8.0)}
    assert not {"place_city", "place_region", "timezone", "utc_offset_minutes", "captured_at"} & set(country[0])
    nothing = exported(library, tmp_path / "none", privacy="none")["metadata"]
    assert not {name for name in nothing[0] if "deg" in name and name != "rotation_deg"}
    assert not {name for name in nothing[0] if "place" in name}
    exact = exported(library, tmp_path / "exact", privacy="exact")["metadata"]
    assert LAUSANNE in {(one["latitude_deg"], one["longitude_deg"]) for one in exact}
    assert 495.5 in {one["altitude_m"] for one in exact}


def test_a_position_that_cannot_be_rounded_is_not_told(library: Library, tmp_path: Path) -> None:
    Analysed(library).write("metadata", {"alice/sea.jpg": [place((-30.0, -120.0), "Atlantis", "XX")]})
    (one,) = exported(library, tmp_path / "copy", privacy="city")["metadata"]
    assert (one["latitude_deg"], one["longitude_deg"], one["place_city"]) == (None, None, None)


def test_rare_places_are_counted_or_left_out(library: Library, tmp_path: Path) -> None:
    analysed = Analysed(library)
    rows: dict[str, Any] = {f"alice/{n}.jpg": [place(LAUSANNE, "Lausanne")] for n in range(3)}
    zone = {"timezone": "Europe/Zurich"}
    rows |= {"bob/z.jpg": [place(ZURICH, "Zürich") | zone], "bob/l.jpg": [place(LAUSANNE, "Lausanne") | zone]}
    analysed.write("metadata", rows)
    report = export_tables(library, tmp_path / "a", ExportOptions("city", k=3))
    assert report.rare is not None
    assert (report.rare.places, report.rare.files, report.rare.single_owner) == (1, 1, 1)
    told = json.loads((tmp_path / "a" / MANIFEST).read_text())
    assert told["rare_places"] == {"places": 1, "files": 1, "single_owner": 1, "suppressed": False}
    assert not [word for word in ("Zürich", "Lausanne", "alice", "bob", str(tmp_path)) if word in json.dumps(told)]
    found = exported(library, tmp_path / "b", privacy="city", k=3, suppress_rare=True)["metadata"]
    assert sorted(one["place_city"] or "" for one in found) == ["", *["Lausanne"] * 4]
    assert [one["timezone"] for one in found if one["place_city"] is None] == [None]
    assert export_tables(library, tmp_path / "c", ExportOptions("none")).rare is None


def test_cameras_are_told_where_enough_files_have_them(library: Library, tmp_path: Path) -> None:
    analysed = Analysed(library)
    analysed.write("metadata", {f"alice/{n}.jpg": [{"camera_model": "D750"}] for n in range(3)})
    analysed.write("metadata", {"alice/own.jpg": [{"camera_model": f"{SECRET}'s camera"}]})
    found = exported(library, tmp_path / "copy", privacy="none", k=3)["metadata"]
    assert sorted(one["camera_model"] or "" for one in found) == ["", "D750", "D750", "D750"]


def test_times_are_cut(library: Library, tmp_path: Path) -> None:
    utc = datetime(2024, 5, 6, 21, 8, 9, tzinfo=UTC)
    local = datetime(2024, 5, 6, 23, 8, 9)  # noqa: DTZ001 - wall time
    values = {"captured_at": utc, "captured_at_local": local}
    analysed = Analysed(library)
    analysed.write("metadata", {"alice/a.jpg": [values]})
    analysed.write("files", {"alice/a.jpg": [{"received_at": utc}]})
    (exact,) = exported(library, tmp_path / "1", privacy="city")["metadata"]
    assert (exact["captured_at"], exact["captured_at_local"]) == (utc, local)
    (month,) = exported(library, tmp_path / "2", privacy="city", times="month")["metadata"]
    assert (month["captured_at"], month["captured_at_local"]) == (
        datetime(2024, 5, 1, tzinfo=UTC),
        datetime(2024, 5, 1),  # noqa: DTZ001 - wall time
    )
    # Without a place nothing may tell the offset from UTC: no UTC time beside a local one, no minute of the upload.
    nowhere = exported(library, tmp_path / "3", privacy="country")
    assert "captured_at" not in nowhere["metadata"][0]
    assert nowhere["metadata"][0]["captured_at_local"] == local
    assert nowhere["files"][0]["received_at"] == datetime(2024, 5, 6, tzinfo=UTC)
    assert nowhere["files"][0]["computed_at"].hour == 0


def test_what_an_owner_denies_is_not_in_a_copy_even_before_it_is_deleted(library: Library, tmp_path: Path) -> None:
    analysed = Analysed(library)
    for owner in ("alice", "bob"):
        analysed.write("metadata", {f"{owner}/a.jpg": [place(LAUSANNE, "Lausanne")]})
        analysed.write("objects", {f"{owner}/a.jpg": [{"label": "dog"}]})
    for purpose in ("location", "analysis"):
        record = {"owner": "bob", "purpose": purpose, "granted": False, "recorded_by": "t"}
        record_consent(library.store, ConsentRecord.model_validate(record | {"recorded_at": datetime.now(UTC)}))
    found = exported(library, tmp_path / "copy", privacy="exact")
    assert len(found["metadata"]) == 2
    assert len([one for one in found["metadata"] if one["latitude_deg"] is not None]) == 1
    assert len(found["objects"]) == 1


def test_the_target_must_be_new_or_empty_and_is_private(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "copy"
    exported(library, folder, privacy="none")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(ExportError, match="not empty"):
        exported(library, folder, privacy="none")
    empty = tmp_path / "empty"
    empty.mkdir()
    exported(library, empty, privacy="none")
    assert sorted(path.name for path in empty.iterdir()) == sorted([MANIFEST, *(f"{name}.parquet" for name in COLUMNS)])
    for inside in (library.settings.library_url, library.settings.inbox_url):
        with pytest.raises(ExportError, match="lies in the library"):
            exported(library, Path(inside) / "copy", privacy="none")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ExportError, match="--to"):
        exported(library, file / "copy", privacy="none")
    assert not list(tmp_path.glob(".*copy*"))


def test_a_copy_that_fails_leaves_nothing(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.pipeline.export.export.pq.write_table", _full_disk)
    with pytest.raises(ExportError, match="No space left"):
        exported(library, tmp_path / "copy", privacy="none")
    assert not list(tmp_path.glob("*copy*"))
    assert not list(tmp_path.glob(".*copy*"))


def _full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_manifest_says_what_became_of_each_column(library: Library, tmp_path: Path) -> None:
    exported(library, tmp_path / "copy", privacy="country", role="weather study")
    told = json.loads((tmp_path / "copy" / MANIFEST).read_text())
    assert (told["role"], told["privacy"]) == ("weather study", "country")
    for name, described in told["tables"].items():
        stored = pq.read_schema(tmp_path / "copy" / described["file"])
        assert list(described["columns"]) == stored.names
        assert set(described["columns"]) | set(described["removed"]) == set(COLUMNS[name])
    assert told["left_out"].keys() == set(LEFT_OUT)


@pytest.mark.parametrize(("value", "rounded"), [(0, 0), (7, 7), (12, 12), (123_456, 120_000), (-1.2345, -1.2)])
def test_two_digits(value: float, rounded: float) -> None:
    assert two_digits(value) == rounded
    assert type(two_digits(value)) is type(value)


def test_what_is_kept_at_which_level() -> None:
    levels = ("exact", "city", "country", "none")
    kept = {rule: [is_kept(rule, level) for level in levels] for rule in ("drop", "fix", "zone", "place", "keep")}  # type: ignore[arg-type]
    assert kept == {
        "drop": [False] * 4,
        "fix": [True, False, False, False],
        "zone": [True, True, False, False],
        "place": [True, True, True, False],
        "keep": [True] * 4,
    }


def test_the_rules_in_the_docs_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")
    assert columns_reference() in text, "end docs/export.md with `python -m media_assets.pipeline.export.reference`"
