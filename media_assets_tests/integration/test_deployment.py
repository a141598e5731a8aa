"""The deployment of docs/deployment.md by its plain commands: Postgres for Dagster and the ledger, S3 for the rest."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg2
import pytest

from media_assets.pipeline.assets import INGEST_ASSETS
from media_assets.service import free_port
from media_assets_tests.bench.postgres import Postgres
from media_assets_tests.pictures import jpeg

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COUNT = 12
# Three processes and up to eight runs share the 100 connections that a Postgres has by default with other programs.
MOST_CONNECTIONS = 60


@pytest.fixture
def deployment(
    postgres: Postgres, s3_server: dict[str, str], s3_bucket: str, tmp_path: Path
) -> tuple[dict[str, str], str]:
    """The environment of the example file, filled in, and the name of the bucket."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", home)
    filled = {
        "MEDIA_ASSETS_INBOX": f"s3://{s3_bucket}/inbox",
        "MEDIA_ASSETS_LIBRARY": f"s3://{s3_bucket}/library",
        "AWS_ACCESS_KEY_ID": s3_server["access"],
        "AWS_SECRET_ACCESS_KEY": s3_server["secret"],
        "AWS_REGION": "us-east-1",
        "MEDIA_ASSETS_S3_ENDPOINT_URL": s3_server["endpoint"],
        "AWS_ENDPOINT_URL": s3_server["endpoint"],
        "MEDIA_ASSETS_DAGSTER_DATABASE_URL": postgres.new_database(),
        "MEDIA_ASSETS_LEDGER_URL": postgres.new_database(),
        "POSTGRES_PASSWORD": postgres.password,
        "MEDIA_ASSETS_LOG_BUCKET": s3_bucket,
        "MEDIA_ASSETS_STATE": str(tmp_path / "state"),
    }
    example = re.findall(
        r"^#?([A-Z][A-Z0-9_]+)=", (DEPLOY / "media_assets.env.example").read_text("utf-8"), re.MULTILINE
    )
    assert set(example) == set(filled)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIA_ASSETS_", "AWS_"))}
    more = {"DAGSTER_HOME": str(home), "MEDIA_ASSETS_ANALYZE": "false", "MEDIA_ASSETS_SENSOR_INTERVAL_S": "2"}
    return inherited | filled | more, s3_bucket


def wait(what: str, ready: Callable[[], Any], process: "subprocess.Popen[bytes]", seconds: float = 150.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert process.poll() is None, f"serve ended while waiting for {what}"
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)
    return found


def command(environment: Mapping[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "media_assets.cli", *arguments, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def test_uploads_become_rows_events_and_logs(
    deployment: tuple[dict[str, str], str], postgres: Postgres, tmp_path: Path
) -> None:
    environment, bucket = deployment
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    for number in range(COUNT):
        client.put_object(Bucket=bucket, Key=f"inbox/alice/{number}.jpg", Body=jpeg(number))
    client.put_object(Bucket=bucket, Key="inbox/alice/broken.jpg", Body=jpeg()[:100])

    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        serve = subprocess.Popen(
            [sys.executable, "-m", "media_assets.cli", "serve", "--port", str(free_port())],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        events = environment["MEDIA_ASSETS_DAGSTER_DATABASE_URL"]
        ledger = environment["MEDIA_ASSETS_LEDGER_URL"]

        def states() -> dict[str, int]:
            if not ask(ledger, "SELECT 1 FROM information_schema.tables WHERE table_name = 'ma_media'"):
                return {}
            return dict(ask(ledger, "SELECT state, count(*) FROM ma_media GROUP BY state"))

        most = 0

        def done() -> bool:
            nonlocal most
            ((now,),) = ask(events, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bench'")
            most = max(most, int(now))
            return states() == {"accepted": COUNT, "rejected": 1}

        wait("the uploads", done, serve)
        wait("the end of the batch", lambda: ask(ledger, "SELECT 1 FROM ma_batch WHERE state = 'done'"), serve)
        made = dict(
            ask(
                events,
                "SELECT asset_key, count(DISTINCT partition) FROM event_logs "
                "WHERE dagster_event_type = 'ASSET_MATERIALIZATION' GROUP BY asset_key",
            )
        )
        assert {asset: made[f'["{asset}"]'] for asset in INGEST_ASSETS} == dict.fromkeys(INGEST_ASSETS, COUNT)
        assert most < MOST_CONNECTIONS, most

        def catalog_rows() -> int:
            try:
                (row,) = command(environment, "query", "select count(*) as n from files")
            except AssertionError:
                return 0  # there is no catalog yet
            return int(row["n"])

        wait("the catalog", lambda: catalog_rows() == COUNT, serve)

        def logs() -> list[str]:
            found = client.list_objects_v2(Bucket=bucket, Prefix="dagster/")
            return [one["Key"] for one in found.get("Contents", ())]

        wait("the logs of the run", logs, serve)
    finally:
        children = psutil.Process(serve.pid).children(recursive=True) if serve.poll() is None else []
        serve.terminate()
        serve.wait(timeout=60)
        _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    secrets = (postgres.password, environment["AWS_SECRET_ACCESS_KEY"])
    written = [path for path in (*tmp_path.rglob("*.log"), log) if path.is_file()]
    assert written
    for path in written:
        text = path.read_text("utf-8", errors="replace")
        assert [secret for secret in secrets if secret in text] == [], path
