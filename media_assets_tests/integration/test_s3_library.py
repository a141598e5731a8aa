"""The whole sample library through a real S3 server: the same rows and objects as on the local file system.

Issue 2: "The same library through a real S3-compatible server: the same rows as the local run in every table".
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from media_assets.demo.sample_library import SampleFile, build_sample_library
from media_assets.pipeline.library import Library
from media_assets.service import Service
from media_assets.settings import Settings
from media_assets.storage import catalog
from media_assets.storage.schemas import TABLES
from media_assets_tests.integration.test_incremental import cli_environment, process_json, run_cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

# Who computed a row, when, and where the library is published: all else must be equal.
_DIFFERENT = {"run_id", "computed_at", "received_at", "first_seen_at", "last_seen_at", "public_url", "etag"}
_TIMEOUT_S = 240.0

Tables = Mapping[str, list[dict[str, Any]]]


# ---------------------------------------------------------------- the libraries


@pytest.fixture(scope="module")
def samples_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def samples(samples_dir: Path) -> list[SampleFile]:
    return build_sample_library(samples_dir)


def rows_of(library: Library) -> Tables:
    """All current rows, in an order of their own, without what may differ between two runs."""
    tables = {}
    for name in TABLES:
        rows = catalog.read_current(library.store, name).to_pylist()
        kept = [{column: value for column, value in row.items() if column not in _DIFFERENT} for row in rows]
        tables[name] = sorted(kept, key=lambda row: (row["media_id"], row.get("kind") or ""))
        assert catalog.check_unique(library.store, name) == []
    return tables


def objects_of(library: Library) -> dict[str, str]:
    """SHA-256 of every original, rendition and quarantined file, by key."""
    folders = ("originals", "renditions", "quarantine")
    return {info.key: library.store.sha256(info.key) for folder in folders for info in library.store.list(folder)}


def through_the_service(upload: Callable[[Settings], None], expected: int) -> tuple[Tables, dict[str, str]]:
    """Put files into the inbox of the configured library and let the daemon and the sensor do the rest."""
    settings = Settings.load()
    library = Library(settings)
    library.ensure_inbox()
    # Before the service starts: which of two equal files came first must not depend on the clock.
    upload(settings)
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        with Service(settings) as service:
            while True:
                service.check()
                counts = library.ledger.counts()
                done = counts.get("accepted", 0) + counts.get("rejected", 0)
                if done == expected and not library.ledger.unfinished(1) and not library.pending_parts():
                    break
                assert time.monotonic() < deadline, (counts, library.ledger.unfinished(5))
                time.sleep(0.5)
        return rows_of(library), objects_of(library)
    finally:
        library.close()


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Exactly these variables, for this process and for those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(values):
            patch.delenv(name)
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def _copy_samples(samples_dir: Path, inbox: Path) -> None:
    shutil.copytree(samples_dir, inbox, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def local(
    samples: list[SampleFile], samples_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tables, dict[str, str]]:
    folder = tmp_path_factory.mktemp("local")
    library = folder / "library"
    with environment(cli_environment(folder / "home", MEDIA_ASSETS_LIBRARY=str(library))):
        return through_the_service(lambda settings: _copy_samples(samples_dir, Path(settings.inbox_url)), len(samples))


@pytest.fixture
def s3_env(s3_server: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return cli_environment(
        tmp_path / "home",
        AWS_ENDPOINT_URL=s3_server["endpoint"],
        AWS_ACCESS_KEY_ID=s3_server["access"],
        AWS_SECRET_ACCESS_KEY=s3_server["secret"],
        AWS_REGION="us-east-1",
        XDG_STATE_HOME=str(tmp_path / "state"),
    )


def _client(server: Mapping[str, str]) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=server["endpoint"],
        aws_access_key_id=server["access"],
        aws_secret_access_key=server["secret"],
        region_name="us-east-1",
    )


def put_samples(server: Mapping[str, str], samples_dir: Path, samples: list[SampleFile], bucket: str, to: str) -> None:
    client = _client(server)
    for sample in samples:
        client.upload_file(str(samples_dir / sample.name), bucket, f"{to}/{sample.name}")
    client.close()


def assert_same(found: Tables, expected: Tables, samples: list[SampleFile]) -> None:
    for name in TABLES:
        assert found[name] == expected[name], name
    assert {row["source_key"] for row in found["files"]} == {s.name for s in samples if s.expected == "accepted"}
    assert {(row["source_key"], row["reason_code"]) for row in found["rejected"]} == {
        (sample.name, sample.reason_code) for sample in samples if sample.expected == "rejected"
    }


# ---------------------------------------------------------------- tests


def test_service_gives_the_same_rows_and_objects(
    local: tuple[Tables, dict[str, str]],
    samples: list[SampleFile],
    samples_dir: Path,
    s3_server: dict[str, str],
    s3_bucket: str,
    s3_env: dict[str, str],
) -> None:
    def upload(settings: Settings) -> None:
        put_samples(s3_server, samples_dir, samples, s3_bucket, "lib/inbox")

    library_url = f"s3://{s3_bucket}/lib"
    with environment(s3_env | {"MEDIA_ASSETS_LIBRARY": library_url, "MEDIA_ASSETS_INBOX": f"{library_url}/inbox"}):
        tables, objects = through_the_service(upload, len(samples))
    assert_same(tables, local[0], samples)
    assert any(row["duplicate_of"] for row in tables["files"])
    assert objects == local[1]
    # The inbox is the uploader's: every object is still there.
    client = _client(s3_server)
    listed = client.list_objects_v2(Bucket=s3_bucket, Prefix="lib/inbox/")["Contents"]
    client.close()
    assert {item["Key"].removeprefix("lib/inbox/") for item in listed} == {sample.name for sample in samples}


def test_command_line_on_a_bucket(
    local: tuple[Tables, dict[str, str]],
    samples: list[SampleFile],
    samples_dir: Path,
    s3_server: dict[str, str],
    s3_bucket: str,
    s3_env: dict[str, str],
) -> None:
    put_samples(s3_server, samples_dir, samples, s3_bucket, "upload/2024")
    accepted = sum(sample.expected == "accepted" for sample in samples)
    library_url = f"s3://{s3_bucket}/library"
    command = ("process", f"s3://{s3_bucket}/upload/2024", "--library", library_url, "--json")

    report = process_json(run_cli(*command, env=s3_env))
    assert report["states"] == {"materialized": accepted, "rejected": len(samples) - accepted}
    with environment(s3_env):
        library = Library(Settings.load(library=library_url))
        assert_same(rows_of(library), local[0], samples)
        assert objects_of(library) == local[1]
        library.close()

    again = process_json(run_cli(*command, env=s3_env))
    assert (again["new"], again["unchanged"], again["states"]) == (0, len(samples), {})

    sql = "select format, count(*) as n from files group by all order by n desc, format"
    asked = run_cli("query", sql, "--library", library_url, "--json", env=s3_env)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert sum(row["n"] for row in answer) == accepted
    assert answer[0]["format"] == "jpeg"

    shown = run_cli("status", "--library", library_url, "--json", env=s3_env)
    assert shown.returncode == 0, shown.stderr
    status = json.loads(shown.stdout)
    assert status["files"] == {"accepted": accepted, "rejected": len(samples) - accepted}
    assert status["catalog_rows"]["files"] == accepted
    assert (status["unfinished"], status["parts_not_in_catalog"]) == ([], 0)

    doctor = run_cli("doctor", "--deep", "--library", library_url, env=s3_env)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    everything = " ".join(f"{done.stdout}{done.stderr}" for done in (asked, shown, doctor))
    assert s3_server["secret"] not in everything
    assert not re.search(r"X-Amz-Signature", everything)


def test_one_photo_of_a_bucket(
    samples: list[SampleFile],
    samples_dir: Path,
    s3_server: dict[str, str],
    s3_bucket: str,
    s3_env: dict[str, str],
    tmp_path: Path,
) -> None:
    """A local library fed from a bucket."""
    put_samples(s3_server, samples_dir, samples[:1], s3_bucket, "upload")
    library = tmp_path / "library"
    report = process_json(run_cli("process", f"s3://{s3_bucket}/upload", "--library", library, "--json", env=s3_env))
    assert report["states"] == {"materialized": 1}
    assert len(list((library / "originals").rglob("*.jpg"))) == 1
