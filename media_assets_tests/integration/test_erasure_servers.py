"""An owner is erased from a bucket, a ledger and an instance in Postgres; then every object and every row is read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from media_assets.demo.sample_library import build_sample_library
from media_assets.storage import keys
from media_assets.storage.traces import Needles, pieces_of
from media_assets_tests.bench.postgres import Postgres
from media_assets_tests.integration.test_incremental import cli_environment, process_json, run_cli
from media_assets_tests.integration.test_s3_library import _client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

OWNER = "alice"


def bucket_content(server: Mapping[str, str], bucket: str) -> Iterator[tuple[str, bytes]]:
    """Key and content of every object of the library; Parquet as text too."""
    client = _client(server)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="library/"):
        for entry in page.get("Contents", ()):
            content = client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            if entry["Key"].endswith(".parquet"):
                content += repr(pq.ParquetFile(pa.BufferReader(content)).read().to_pylist()).encode()
            yield entry["Key"], content
    client.close()


def database_content(url: str) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, as text."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            for row in connection.execute(sa.text(f'SELECT t::text FROM "{table}" t')):
                yield table, row[0].encode()
    engine.dispose()


def server_files(server: Postgres) -> Iterator[tuple[str, bytes]]:
    """Every file of the tables of the server, whatever rows it thinks are there."""
    folder = Path(server.process.cmdline()[server.process.cmdline().index("-D") + 1])
    for path in sorted((folder / "base").rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def test_an_owner_is_gone_from_bucket_and_databases(
    s3_server: dict[str, str], s3_bucket: str, postgres: Postgres, tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    files = [one.name for one in build_sample_library(samples)]
    own = [name for name in files if name.startswith(f"{OWNER}/")]
    others = [name for name in files if not name.startswith(f"{OWNER}/")]
    ledger, dagster = postgres.new_database(), postgres.new_database()
    home = tmp_path / "dagster"
    home.mkdir()
    storage: dict[str, Any] = {"module": "media_assets.defs.bookkeeping.postgres", "class": "PostgresStorage"}
    config = {"storage": {"custom": storage | {"config": {"postgres_url": dagster}}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(json.dumps(config))
    env = cli_environment(
        tmp_path / "home",
        AWS_ENDPOINT_URL=s3_server["endpoint"],
        AWS_ACCESS_KEY_ID=s3_server["access"],
        AWS_SECRET_ACCESS_KEY=s3_server["secret"],
        AWS_REGION="us-east-1",
        XDG_STATE_HOME=str(tmp_path / "state"),
        TMPDIR=str(tmp_path),
        MEDIA_ASSETS_LIBRARY=f"s3://{s3_bucket}/library",
        MEDIA_ASSETS_LEDGER_URL=ledger,
        DAGSTER_HOME=str(home),
    )
    process_json(run_cli("process", samples, "--json", env=env, timeout_s=600))

    names = [text.encode() for name in own for text in (name, keys.media_id(name))]
    content = {name: (samples / name).read_bytes() for name in files}
    shared = Needles({piece for name in others for piece in pieces_of(content[name])})
    pieces = [one for name in own for one in pieces_of(content[name]) if not shared.find(one)]
    needles = Needles([*names, *pieces])

    def places() -> dict[str, set[bytes]]:
        found: dict[str, set[bytes]] = {}
        for name, data in [
            *bucket_content(s3_server, s3_bucket),
            *database_content(ledger),
            *database_content(dagster),
        ]:
            if hits := needles.find(data) | needles.find(name.encode()):
                found.setdefault(name, set()).update(hits)
        return found

    before = places()
    assert {"ma_media", "ma_outcome", "event_logs", "dynamic_partitions", "run_tags"} <= set(before)
    assert [name for name in before if name.startswith("library/originals/")]
    done = run_cli("erase", "--owner", OWNER, "--yes", "--json", env=env, timeout_s=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (certificate,) = json.loads(done.stdout)["certificates"]
    assert certificate["erased"]["media_files"] >= len(own)
    assert certificate["searched"]["pieces"] > 0
    assert places() == {}
    # Nor in the files of the tables: dead rows are gone, once the server has written what it holds in memory.
    engine = sa.create_engine(ledger, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CHECKPOINT"))
    engine.dispose()
    ids = Needles(keys.media_id(name).encode() for name in own)
    assert [name for name, data in server_files(postgres) if ids.find(data)] == []
    # The others are whole, and what is still in the folder does not come back.
    process_json(run_cli("process", samples, "--json", env=env, timeout_s=600))
    assert places() == {}
    rest = json.loads(run_cli("query", "SELECT source_key FROM files", "--json", env=env).stdout)
    assert rest
    assert not [row for row in rest if row["source_key"] in own]
