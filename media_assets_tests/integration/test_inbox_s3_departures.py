"""Uploads leave a bucket, and events of a bucket come from a queue: on real servers."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from media_assets.pipeline.departures import depart
from media_assets.pipeline.inbox_events import receive_events
from media_assets.pipeline.library import Library
from media_assets.settings import Settings
from media_assets.storage.errors import ObjectMissing, PreconditionFailed, StorageError
from media_assets.storage.inbox_departures import open_departures
from media_assets.storage.inbox_events import SqsQueue
from media_assets.storage.inbox_s3 import S3Inbox
from media_assets.storage.ledger import Ledger
from media_assets.storage.objects import StoreOptions
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import listed, start

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SHA = "1" * 64


class Bucket:
    """A bucket and what is in it."""

    def __init__(self, server: dict[str, str], name: str) -> None:
        self.name = name
        self.options = StoreOptions(server["endpoint"], "us-east-1", server["access"], server["secret"])
        self.client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=server["endpoint"],
            aws_access_key_id=server["access"],
            aws_secret_access_key=server["secret"],
            region_name="us-east-1",
        )

    def put(self, key: str, body: bytes) -> str:
        return str(self.client.put_object(Bucket=self.name, Key=key, Body=body)["ETag"]).strip('"')

    def keys(self) -> set[str]:
        return {one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", ())}


@pytest.fixture
def bucket(s3_server: dict[str, str], s3_bucket: str) -> Iterator[Bucket]:
    made = Bucket(s3_server, s3_bucket)
    yield made
    made.client.close()


@pytest.fixture
def s3_library(bucket: Bucket, tmp_path: Path) -> Iterator[Callable[..., Library]]:
    opened: list[Library] = []

    def make(**settings: str) -> Library:
        library = Library(
            Settings(
                library=str(tmp_path / "library"),
                inbox=f"s3://{bucket.name}/in",
                workers=1,
                s3_endpoint_url=bucket.options.s3_endpoint_url,
                s3_access_key_id=bucket.options.s3_access_key_id,
                s3_secret_access_key=bucket.options.s3_secret_access_key,
                **settings,
            )
        )
        opened.append(library)
        return library

    yield make
    for library in opened:
        library.close()


def work(library: Library) -> None:
    for at, batch in enumerate(listed(library)):
        for _ in start(library, batch, f"run-{batch.batch_id}-{at}", ("original",)):
            pass
        library.ledger.finish_batch(batch.batch_id)


def test_only_the_very_version_is_deleted(bucket: Bucket) -> None:
    etag = bucket.put("in/é +%.jpg", b"one")
    way_out = open_departures(f"s3://{bucket.name}/in", None, bucket.options)
    bucket.put("in/é +%.jpg", b"two")
    with pytest.raises(PreconditionFailed):
        way_out.leave("é +%.jpg", etag, 3, SHA)
    # The condition of the request itself, not only the look before it.
    with pytest.raises(PreconditionFailed):
        way_out._delete("é +%.jpg", etag)  # type: ignore[attr-defined]
    assert bucket.keys() == {"in/é +%.jpg"}
    way_out.leave("é +%.jpg", bucket.put("in/é +%.jpg", b"three"), 5, SHA)
    assert bucket.keys() == set()
    with pytest.raises(ObjectMissing):
        way_out.leave("é +%.jpg", etag, 3, SHA)


def test_moved_objects_replace_no_others_and_a_copy_of_a_crash_is_used(bucket: Bucket) -> None:
    way_out = open_departures(f"s3://{bucket.name}/in", f"s3://{bucket.name}/done", bucket.options)
    way_out.leave("a/x.jpg", bucket.put("in/a/x.jpg", b"one"), 3, SHA)
    assert bucket.keys() == {"done/a/x.jpg"}
    etag = bucket.put("in/a/x.jpg", b"one")  # as if the process had died after the copy
    way_out.leave("a/x.jpg", etag, 3, SHA)
    assert bucket.keys() == {"done/a/x.jpg"}
    way_out.leave("a/x.jpg", bucket.put("in/a/x.jpg", b"two"), 3, SHA)
    assert bucket.keys() == {"done/a/x.jpg", f"done/a/x.{SHA[:16]}.jpg"}
    assert bucket.client.get_object(Bucket=bucket.name, Key="done/a/x.jpg")["Body"].read() == b"one"


def test_an_inbox_below_what_is_done_is_refused(bucket: Bucket) -> None:
    with pytest.raises(StorageError, match="another prefix"):
        open_departures(f"s3://{bucket.name}/a/in", f"s3://{bucket.name}/a", bucket.options)


@pytest.mark.parametrize("done", [None, "in/done"])
def test_uploads_of_a_library_leave_and_are_not_listed_again(
    bucket: Bucket, s3_library: Callable[..., Library], done: str | None
) -> None:
    values = {} if done is None else {"inbox_done": f"s3://{bucket.name}/{done}"}
    library = s3_library(after_ingest="move", **values)
    bucket.put("in/alice/a.jpg", jpeg(1))
    bucket.put("in/broken.jpg", b"no")
    work(library)
    assert depart(library, library.inbox()).left == 1
    assert bucket.keys() == {"in/broken.jpg", f"{done or 'done'}/alice/a.jpg"}
    assert listed(library) == []


def test_the_same_bytes_under_the_same_key_leave_again_unprocessed(
    bucket: Bucket, s3_library: Callable[..., Library]
) -> None:
    library = s3_library(after_ingest="delete")
    for _ in range(2):
        bucket.put("in/a.jpg", jpeg(1))
        work(library)
        assert depart(library, library.inbox()).left == 1
        assert bucket.keys() == set()
    assert library.ledger.batch_counts() == {"done": 1}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a moto server, which speaks SQS too."""
    shared = Path(os.environ.get("MEDIA_ASSETS_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    tool = shared / "tools" / "s3-server"
    if not tool.is_file():
        pytest.skip(f"no moto server: {tool} does not exist; set MEDIA_ASSETS_SHARED")
    folder = tmp_path_factory.mktemp("moto")
    command = [tool, "start", "--backend", "moto", "--dir", folder, "--json"]
    started = subprocess.run(command, capture_output=True, text=True, timeout=150)
    if started.returncode != 0:
        pytest.skip(f"no moto server: it did not start: {started.stderr[-300:]}")
    try:
        yield json.loads(started.stdout)["AWS_ENDPOINT_URL"]
    finally:
        subprocess.run([tool, "stop", "--dir", folder, "--purge"], capture_output=True, timeout=60, check=True)


def test_events_of_a_bucket_come_through_a_queue(moto: str, tmp_path: Path) -> None:
    """The server itself sends them: its notifications, its encoding of keys."""
    server = {"endpoint": moto, "access": "test", "secret": "test"}
    bucket = Bucket(server, "events")
    bucket.client.create_bucket(Bucket="events")
    sqs: Any = boto3.session.Session().client(
        "sqs", endpoint_url=moto, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    url = sqs.create_queue(QueueName="uploads", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bucket.client.put_bucket_notification_configuration(
        Bucket="events",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    inbox = S3Inbox("s3://events/in", bucket.options)
    try:
        names = ["a.jpg", "b c+d é %.jpg"]
        for name in names:
            bucket.put(f"in/{name}", b"x")
        bucket.put("elsewhere/c.jpg", b"x")
        sqs.send_message(QueueUrl=url, MessageBody="rubbish")
        report = receive_events(ledger, inbox, SqsQueue(url, bucket.options))
        assert report.malformed == 1
        assert {entry.source_key for entry in ledger.waiting(inbox.url, 10)} == set(names)
        assert receive_events(ledger, inbox, SqsQueue(url, bucket.options)).messages == 0
        bucket.put("in/a.jpg", b"y")
        assert receive_events(ledger, inbox, SqsQueue(url, bucket.options)).new == 1
    finally:
        ledger.close()
        sqs.close()
        bucket.client.close()
