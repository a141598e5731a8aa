"""The account after the storm, from outside: listings by boto3, DuckDB over the Parquet files, the Dagster instance.

Nothing of the product's storage or pipeline is used here: what it says about itself proves nothing.
"""

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media_assets_tests.torture.uploaders import INBOX_PREFIX, Version

# Asset, its table, and what limits the rows of the table to it.
TABLE_OF = {
    "original": ("files", "true"),
    "metadata": ("metadata", "true"),
    "thumbnails": ("renditions", "coalesce(asset, 'thumbnails') = 'thumbnails'"),
    "optimized": ("renditions", "asset = 'optimized'"),
    "appearance": ("appearance", "true"),
}
_KEYS = {
    "files": "media_id",
    "metadata": "media_id",
    "renditions": "media_id, kind, format",
    "appearance": "media_id",
    "rejected": "media_id",
}
_THREADS = 8
_SHOWN = 5


@dataclass
class Verdict:
    """One promise: how often it was looked at, and where it was broken."""

    promise: str
    looked_at: int = 0
    broken: list[str] = field(default_factory=list)

    def need(self, holds: bool, what: str) -> None:
        """Look at one case."""
        self.looked_at += 1
        if not holds:
            self.broken.append(what)

    def line(self) -> str:
        """One line of the table, with the first cases."""
        shown = "".join(f"\n      {one}" for one in self.broken[:_SHOWN])
        return f"  {len(self.broken):>6}  of {self.looked_at:>6}  {self.promise}{shown}"


class Account:
    """What is there in the end.

    Args:
        client: boto3 client of the server itself.
        bucket: With the inbox and the library.
        folder: Where the tables are copied to.
    """

    def __init__(self, client: Any, bucket: str, folder: Path) -> None:
        self._client, self._bucket, self._folder = client, bucket, folder
        self.inbox: dict[str, str] = {}
        self.inbox_sha256: dict[str, str] = {}
        self.objects: set[str] = set()
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.parts: dict[str, list[dict[str, Any]]] = {}

    def read(self) -> None:
        """List and read everything."""
        for key, etag in self._list(INBOX_PREFIX):
            self.inbox[key.removeprefix(INBOX_PREFIX)] = etag
        self.objects = {key.removeprefix("library/") for key, _ in self._list("library/")}
        self.inbox_sha256 = self.hashes(f"{INBOX_PREFIX}{key}" for key in self.inbox)
        for table in _KEYS:
            self.rows[table] = self._query(table, "catalog", "*")
        for table in ("files", "rejected"):
            self.parts[table] = self._query(table, "tables", "media_id, input_version, run_id, computed_at")

    def _list(self, prefix: str) -> Iterator[tuple[str, str]]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["ETag"].strip('"')

    def _bytes(self, key: str) -> bytes:
        data: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return data

    def hashes(self, keys: Iterable[str]) -> dict[str, str]:
        """SHA-256 of objects, by their whole keys."""
        wanted = list(keys)
        with ThreadPoolExecutor(_THREADS) as pool:
            digests = pool.map(lambda key: hashlib.sha256(self._bytes(key)).hexdigest(), wanted)
            return dict(zip(wanted, digests, strict=True))

    def _query(self, table: str, area: str, columns: str) -> list[dict[str, Any]]:
        import duckdb

        if area == "catalog":  # the files that the manifest names, not those that a compaction has left behind
            name = f"catalog/{table}/CURRENT.json"
            manifest = json.loads(self._bytes(f"library/{name}")) if name in self.objects else {"months": {}}
            keys = [month["file"] for month in manifest["months"].values()]
        else:
            keys = sorted(key for key in self.objects if key.startswith(f"tables/{table}/month="))
            keys = [key for key in keys if not key.endswith(".removed.parquet")]
        if not keys:
            return []
        with tempfile.TemporaryDirectory(dir=self._folder) as copies:
            paths = []
            for number, key in enumerate(keys):
                paths.append(str(Path(copies) / f"{number}.parquet"))
                Path(paths[-1]).write_bytes(self._bytes(f"library/{key}"))
            with duckdb.connect() as connection:
                answer = connection.execute(
                    f"SELECT {columns} FROM read_parquet(?, union_by_name = true, hive_partitioning = false)", [paths]
                )
                names = [column[0] for column in answer.description or []]
                return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def key_hash(source_key: str) -> str:
    """The digits by which a partition key identifies its upload."""
    return hashlib.sha256(source_key.encode()).hexdigest()[:12]


def by_hash(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by the identifying digits of their media id."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[str(row["media_id"])[-12:]].append(row)
    return found


def nothing_lost(account: Account, present: Mapping[str, Version]) -> list[Verdict]:
    """Every object of the inbox has its one row, and its original."""
    as_uploaded = Verdict("objects of the inbox are what was uploaded last (the test itself)")
    as_uploaded.need(set(account.inbox) == set(present), f"keys: {sorted(set(account.inbox) ^ set(present))[:_SHOWN]}")
    lost = Verdict("lost: the present version has no current row in files or rejected, or more than one")
    judged = Verdict("sound pictures that were rejected, broken files that were accepted")
    files, rejected = by_hash(account.rows["files"]), by_hash(account.rows["rejected"])
    kept: dict[str, str] = {}
    for key in account.inbox:
        sha256, version = account.inbox_sha256[INBOX_PREFIX + key], present.get(key)
        as_uploaded.need(version is not None and version.sha256 == sha256, f"{key!r}")
        good = [row for row in files[key_hash(key)] if row["sha256"] == sha256]
        # Whether empty files have a hash is the product's to say; that they have a row is not.
        bad = [row for row in rejected[key_hash(key)] if row["sha256"] in (sha256, None)]
        lost.need(len(good) + len(bad) == 1, f"{key!r} {sha256[:12]}: {len(good)} in files, {len(bad)} in rejected")
        if version is not None:
            reasons = [f"{row['reason_code']}: {row['message']}" for row in bad]
            judged.need(bool(good) == version.is_sound or not (good or bad), f"{key!r} {sha256[:12]} {reasons}")
        kept |= {row["original_path"]: sha256 for row in good}
    originals = Verdict("originals that are missing or whose bytes are others")
    there = [path for path in kept if path in account.objects]
    found = account.hashes(f"library/{path}" for path in there)
    for path, sha256 in kept.items():
        originals.need(found.get(f"library/{path}") == sha256, f"{path}")
    return [as_uploaded, lost, judged, originals]


def no_duplicates(account: Account) -> Verdict:
    """Keys of the catalog occur once."""
    verdict = Verdict("duplicates: keys that occur twice in a table of the catalog")
    for table, key in _KEYS.items():
        seen: dict[tuple[Any, ...], int] = defaultdict(int)
        for row in account.rows[table]:
            seen[tuple(row[name] for name in key.split(", "))] += 1
        for values, count in seen.items():
            verdict.need(count == 1, f"{table} {values}: {count} rows")
    return verdict


def nothing_twice(
    account: Account, recorded: Mapping[tuple[str, str], set[str]], succeeded: set[str]
) -> tuple[Verdict, int]:
    """No version has a second result once the first one counted.

    A result counts when the ledger was seen to have it (``recorded``: media id and SHA-256 to the runs, as an observer
    saw them while the storm went on), or when its run ended well. A run that was killed before that has to be repeated.

    Returns:
        The verdict, and how many results were rightly repeated.
    """
    verdict, repeated = Verdict("processed twice: a result that counted was made once more"), 0
    runs_of: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for table in ("files", "rejected"):
        for row in account.parts[table]:
            version = (str(row["media_id"]), str(row["input_version"]))
            first = runs_of[version].get(row["run_id"])
            runs_of[version][row["run_id"]] = min(row["computed_at"], first) if first else row["computed_at"]
    for version, runs in runs_of.items():
        in_order = sorted(runs, key=lambda run: runs[run])
        counted = [run for run in in_order[:-1] if run in succeeded or run in recorded.get(version, set())]
        verdict.need(not counted, f"{version[0]} {version[1][:12]}: runs {in_order}, of which {counted} counted")
        repeated += len(in_order) > 1 and not counted
    return verdict, repeated


def as_dagster_says(account: Account, green: Mapping[str, set[str]], partitions: set[str]) -> list[Verdict]:
    """What is green has its row and its objects, what has a row is green, and every upload has a partition."""
    hollow = Verdict("green without outputs: materialized partitions without row or without objects")
    grey = Verdict("rows whose partition is not materialized")
    missing = Verdict("accepted objects of the inbox without a partition")
    refused = {str(row["media_id"]) for row in account.rows["rejected"]}
    for asset, (table, condition) in TABLE_OF.items():
        rows = [row for row in account.rows[table] if condition == "true" or _of_asset(row, asset)]
        ids = {str(row["media_id"]) for row in rows}
        column = {"files": "original_path", "renditions": "path"}.get(table)
        without = {str(row["media_id"]) for row in rows if column and row[column] not in account.objects}
        for partition in green.get(asset, set()):
            # Rejected versions of files that were fine before are shown as failed, over the old materialization.
            hollow.need((partition in ids and partition not in without) or partition in refused, f"{asset} {partition}")
        for media_id in ids:
            grey.need(media_id in green.get(asset, set()), f"{asset} {media_id}")
    # Refused uploads that never had an accepted version have no partition: nothing can be materialized for them.
    hashes, accepted = {partition[-12:] for partition in partitions}, by_hash(account.rows["files"])
    for key in account.inbox:
        if key_hash(key) in accepted:
            missing.need(key_hash(key) in hashes, f"{key!r}")
    return [hollow, grey, missing]


def _of_asset(row: Mapping[str, Any], asset: str) -> bool:
    return (row["asset"] or "thumbnails") == asset
