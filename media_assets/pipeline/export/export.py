"""Writing an analyst's copy: one Parquet file for each table, and a manifest that says what was done to them."""

import hashlib
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from media_assets import __version__
from media_assets.pipeline.consent import PURPOSE_OF, Consents, Purpose, read_consents
from media_assets.pipeline.export.places import PLACE_COLUMNS, coarse_places, place_columns
from media_assets.pipeline.export.policy import LEFT_OUT, RULES, Privacy, Rule, Times, is_kept, rules_of
from media_assets.pipeline.export.rules import ColumnRules, Pseudonyms
from media_assets.pipeline.library import Library
from media_assets.storage.columns import Table
from media_assets.storage.present_table import read_present
from media_assets.storage.schemas import TABLES

MANIFEST = "MANIFEST.json"

_PRIVATE_FOLDER = 0o700
_LOCATED = ("metadata",)
_TELL_WHERE = ("altitude_m", "gps_at", "timezone")
"""Columns beside those of places that are hidden with them."""


class ExportError(Exception):
    """The copy cannot be written; the message says what to do."""


@dataclass(frozen=True)
class ExportOptions:
    """What a copy tells.

    Attributes:
        privacy: How exactly places are told.
        times: How exactly times are told.
        k: Least number of files that share a place or a camera before it counts as common.
        suppress_rare: Leave out rare places, instead of warning of them.
        role: For whom the copy is; goes into the manifest.
    """

    privacy: Privacy
    times: Times = "exact"
    k: int = 5
    suppress_rare: bool = False
    role: str | None = None


@dataclass(frozen=True)
class RarePlaces:
    """Places that too few files share; numbers only.

    Attributes:
        places: Cities (countries, where the copy tells no cities).
        files: Files that were taken there.
        single_owner: Places, rare or not, of which all files are of one owner.
        suppressed: Whether they were left out.
    """

    places: int
    files: int
    single_owner: int
    suppressed: bool


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        folder: Where.
        rows: Rows by table.
        rare: Rare places; ``None``: the copy tells no places.
        size_bytes: Length of all files.
    """

    folder: Path
    rows: Mapping[str, int]
    rare: RarePlaces | None
    size_bytes: int


def export_tables(library: Library, folder: Path, options: ExportOptions) -> ExportReport:
    """Write a copy into a folder that does not exist or is empty: whole, or not at all.

    What owners deny now is not in it, even if its rows are not deleted yet.

    Raises:
        ExportError: The folder is not empty, lies in the library, or cannot be written.
        PlaceDataError: The data of places, which round positions, are missing.
        UndecidedColumnError: A column has no rule.
        StorageError: A table or the register cannot be read.
        SettingsError: The policy file is not usable.
    """
    _check_target(folder, library)
    consents = read_consents(library)
    writer = _Copy(library, options, consents)
    unfinished = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        unfinished.mkdir(mode=_PRIVATE_FOLDER, parents=True)
        report = writer.write(unfinished)
        if folder.is_dir():
            folder.rmdir()  # it is empty
        unfinished.rename(folder)
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be written ({error.strerror or error}). Name an empty folder of yours with --to."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ExportReport(folder, report.rows, report.rare, report.size_bytes)


def _check_target(folder: Path, library: Library) -> None:
    settings = library.settings
    own = [*([settings.library_url] if settings.is_local else []), settings.inbox_url, str(settings.state_dir)]
    inside = [one for one in own if "://" not in one and folder.resolve().is_relative_to(Path(one).resolve())]
    if inside:
        raise ExportError(f"{folder} lies in the library or its inbox. Name a folder outside of {inside[0]} with --to.")
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise ExportError(f"{folder} is there already and not empty. Name a new folder with --to.")


class _Copy:
    """One copy in the making."""

    def __init__(self, library: Library, options: ExportOptions, consents: Consents) -> None:
        self._library = library
        self._options = options
        self._consents = consents
        self._rules = ColumnRules(options.privacy, options.times, options.k, Pseudonyms())
        self._rare: RarePlaces | None = None

    def write(self, folder: Path) -> ExportReport:
        described: dict[str, Any] = {}
        rows: dict[str, int] = {}
        for table in TABLES.values():
            rules = rules_of(table)
            if rules is None:
                continue
            data = self._table(table, rules)
            path = folder / f"{table.name}.parquet"
            pq.write_table(data, path, compression="zstd")
            rows[table.name] = data.num_rows
            described[table.name] = _described(path, data, rules)
        manifest = json.dumps(self._manifest(described), indent=1)
        (folder / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
        return ExportReport(folder, rows, self._rare, sum(path.stat().st_size for path in folder.iterdir()))

    def _table(self, table: Table, rules: Mapping[str, Rule]) -> pa.Table:
        options = self._options
        located = table.name in _LOCATED
        kept = [name for name, rule in rules.items() if is_kept(rule, options.privacy) and rule != "place"]
        read = [*kept, *(name for name in PLACE_COLUMNS if located)]
        data = self._allowed(table, read_present(self._library.store, table.name, read))
        columns = {name: self._rules.applied(rules[name], data[name]) for name in kept}
        if located and options.privacy != "none":
            columns |= self._places(data, columns)
        names = [name for name in rules if name in columns]
        fields = [table.schema.field(name).with_nullable(nullable=True) for name in names]
        schema = pa.schema(fields, metadata={"table": table.name})
        made = pa.Table.from_arrays([columns[name] for name in names], schema=schema)
        # By pseudonym: the order of the library would tell the order of file names.
        return made.sort_by([(name, "ascending") for name in table.key if name in names])

    def _allowed(self, table: Table, data: pa.Table) -> pa.Table:
        """Take away what owners deny: rows, or the places in them."""
        purpose = PURPOSE_OF.get(table.name)
        if purpose is not None:
            return data.filter(self._says_yes(data, purpose))
        if table.name in _LOCATED:
            shown = self._says_yes(data, "location")
            for name in (*PLACE_COLUMNS, *_TELL_WHERE):
                if name in data.schema.names:
                    at = data.schema.get_field_index(name)
                    data = data.set_column(at, data.schema.field(at), _hidden(data[name], shown))
        return data

    def _says_yes(self, data: pa.Table, purpose: Purpose) -> "pa.Array[Any]":
        owners: list[Any] = data["owner"].to_pylist()
        allowed = {owner: self._consents.allows(owner, purpose) for owner in set(owners)}
        return pa.array([allowed[owner] for owner in owners], pa.bool_())

    def _places(
        self, data: pa.Table, others: Mapping[str, "pa.ChunkedArray[Any]"]
    ) -> dict[str, "pa.ChunkedArray[Any]"]:
        """Return the columns that tell places, and take note of what is rare in them."""
        options = self._options
        places = coarse_places(data, options.privacy)
        telling = [name for name in ("place_country_code", "place_region", "place_city") if name in places.schema.names]
        named = list(zip(*(places[name].to_pylist() for name in telling), strict=True))
        where = [None if one[0] is None and one[-1] is None else one for one in named]
        counts = Counter(one for one in where if one is not None)
        owners: dict[tuple[Any, ...], set[Any]] = {}
        for one, owner in zip(where, data["owner"].to_pylist(), strict=True):
            if one is not None:
                owners.setdefault(one, set()).add(owner)
        rare = {one for one, number in counts.items() if number < options.k}
        self._rare = RarePlaces(
            places=len(rare),
            files=sum(counts[one] for one in rare),
            single_owner=sum(len(of) == 1 for of in owners.values()),
            suppressed=options.suppress_rare,
        )
        found = {name: places[name] for name in place_columns(options.privacy)}
        if not options.suppress_rare:
            return found
        # A position without any name is as rare as can be.
        shown = pa.array([one is not None and one not in rare for one in where], pa.bool_())
        found |= {name: others[name] for name in _TELL_WHERE if name in others}
        return {name: _hidden(column, shown) for name, column in found.items()}

    def _manifest(self, described: Mapping[str, Any]) -> dict[str, Any]:
        options = self._options
        return {
            "format": 1,
            "media_assets": __version__,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "role": options.role,
            "privacy": options.privacy,
            "times": options.times,
            "k": options.k,
            "rare_places": None if self._rare is None else asdict(self._rare),
            "tables": described,
            "left_out": dict(LEFT_OUT),
            "rules": dict(RULES),
        }


def _hidden(column: "pa.ChunkedArray[Any]", shown: "pa.Array[Any]") -> "pa.ChunkedArray[Any]":
    """Return the values where ``shown`` is true, and null elsewhere."""
    found: pa.ChunkedArray[Any] = pc.if_else(pa.chunked_array([shown]), column, pa.scalar(None, column.type))
    return found


def _described(path: Path, data: pa.Table, rules: Mapping[str, Rule]) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": path.name,
        "rows": data.num_rows,
        "size_bytes": path.stat().st_size,
        "sha256": sha256,
        "columns": {name: rules[name] for name in data.column_names},
        "removed": [name for name in rules if name not in data.column_names],
    }
