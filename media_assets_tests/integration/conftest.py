"""A real S3-compatible server (SeaweedFS) on loopback for the integration tests."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

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
