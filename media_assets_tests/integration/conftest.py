"""Real servers on loopback for the integration tests: S3-compatible (SeaweedFS) and PostgreSQL."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from media_assets_tests.bench.postgres import NoPostgresError, Postgres, private_postgres

_REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """``endpoint``, ``access`` and ``secret`` of a running server; skips where the tool that starts it is absent."""
    shared = Path(os.environ.get("MEDIA_ASSETS_SHARED", _REPOSITORY.parent / "shared"))
    tool = shared / "tools" / "s3-server"
    if not tool.is_file():
        pytest.skip(
            f"no S3 server: {tool} does not exist; set MEDIA_ASSETS_SHARED to the folder that has tools/s3-server"
        )
    folder = tmp_path_factory.mktemp("s3")
    started = subprocess.run([tool, "start", "--dir", folder, "--json"], capture_output=True, text=True, timeout=180)
    if started.returncode != 0:
        pytest.skip(f"no S3 server: it did not start: {started.stderr[-500:]}")
    said = json.loads(started.stdout)
    try:
        yield {
            "endpoint": said["AWS_ENDPOINT_URL"],
            "access": said["AWS_ACCESS_KEY_ID"],
            "secret": said["AWS_SECRET_ACCESS_KEY"],
        }
    finally:
        subprocess.run([tool, "stop", "--dir", folder, "--purge"], capture_output=True, timeout=60, check=True)


@pytest.fixture
def s3_bucket(s3_server: dict[str, str]) -> str:
    """Name of a new, empty bucket. It is thrown away with the server."""
    name = f"test-{secrets.token_hex(6)}"
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=s3_server["endpoint"],
        aws_access_key_id=s3_server["access"],
        aws_secret_access_key=s3_server["secret"],
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running server of its own for each module; skips where PostgreSQL is not installed."""
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # the server runs as another user
    try:
        with private_postgres(folder / "server") as server:
            yield server
    except NoPostgresError as error:
        pytest.skip(str(error))
