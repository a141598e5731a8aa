"""Real servers on loopback for the integration tests: S3-compatible (SeaweedFS) and PostgreSQL."""

import secrets
from collections.abc import Iterator

import boto3
import pytest

from media_assets_tests.bench.postgres import NoPostgresError, Postgres, private_postgres
from media_assets_tests.s3_server import NoServerError
from media_assets_tests.s3_server import s3_server as start_s3_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """``endpoint``, ``access`` and ``secret`` of a running server; skips where there is none for this machine."""
    try:
        with start_s3_server("seaweedfs", tmp_path_factory.mktemp("s3")) as server:
            yield {"endpoint": server.endpoint, "access": server.access, "secret": server.secret}
    except NoServerError as error:
        pytest.skip(str(error))


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
