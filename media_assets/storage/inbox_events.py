"""Events of a bucket from an SQS-compatible queue: what their messages say, and how they are fetched and deleted.

An event only nominates a key; what lies under it is asked of the bucket itself. Formats: S3 event notifications, plain
or wrapped by SNS (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html), and
EventBridge (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote_plus, urlsplit

from media_assets.storage.errors import StorageError, StoreDenied, StoreUnreachable
from media_assets.storage.objects import StoreOptions

_RECEIVED_AT_ONCE = 10  # the most that SQS gives
_WAIT_S = 1


@dataclass(frozen=True)
class Message:
    """One message of a queue.

    Attributes:
        body: Its text.
        receipt: What deletes it.
    """

    body: str
    receipt: str


@dataclass(frozen=True)
class Nomination:
    """An object that an event was about.

    Attributes:
        bucket: Its bucket.
        key: Its key.
    """

    bucket: str
    key: str


class EventQueue(Protocol):
    """A queue of messages, each delivered at least once."""

    def receive(self) -> list[Message]:
        """Some of the messages that wait; none when there are none. They come again if they are not deleted."""

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages that were worked off."""


def nominations(body: str) -> list[Nomination] | None:
    """Return the objects that a message says were created; ``None`` when it is no event of a bucket.

    Events of other kinds (removals, the test event of a new notification) give an empty list. Keys in notifications are
    URL-encoded with "+" for a space; those of EventBridge are not, by its examples: both readings are returned where
    they differ, and the bucket knows which of them exists.
    """
    try:
        return _nominations(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _nominations(value: Any) -> list[Nomination] | None:
    if value.get("Type") == "Notification":  # by way of SNS
        return nominations(value["Message"])
    if value.get("Event") == "s3:TestEvent":
        return []
    if "detail-type" in value:
        detail = value["detail"]
        if value["source"] != "aws.s3" or value["detail-type"] != "Object Created":
            return []
        bucket, key = str(detail["bucket"]["name"]), str(detail["object"]["key"])
        return [Nomination(bucket, one) for one in dict.fromkeys((key, unquote_plus(key)))]
    return [
        Nomination(str(record["s3"]["bucket"]["name"]), unquote_plus(str(record["s3"]["object"]["key"])))
        for record in value["Records"]
        if "ObjectCreated" in record["eventName"]
    ]


class SqsQueue:
    """An SQS queue, or one of a server that speaks its protocol.

    Args:
        url: URL of the queue, or its ARN.
        options: Region and keys; an endpoint for S3 is not used, the URL says where the queue is.

    Raises:
        StorageError: boto3 is not installed, or the URL is none.
    """

    def __init__(self, url: str, options: StoreOptions) -> None:
        self._shown = url
        self._client, self._url = _open(url, options)

    def receive(self) -> list[Message]:
        """See :meth:`EventQueue.receive`."""
        answer = self._call("receive_message", MaxNumberOfMessages=_RECEIVED_AT_ONCE, WaitTimeSeconds=_WAIT_S)
        return [Message(one["Body"], one["ReceiptHandle"]) for one in answer.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> None:
        """See :meth:`EventQueue.delete`."""
        for start in range(0, len(messages), _RECEIVED_AT_ONCE):
            entries = [
                {"Id": str(at), "ReceiptHandle": one.receipt}
                for at, one in enumerate(messages[start : start + _RECEIVED_AT_ONCE])
            ]
            self._call("delete_message_batch", Entries=entries)  # what is refused comes again, which does no harm

    def _call(self, name: str, **arguments: Any) -> Any:
        from botocore import exceptions

        try:
            return getattr(self._client, name)(QueueUrl=self._url, **arguments)
        except exceptions.ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code = str(error.response.get("Error", {}).get("Code", ""))
            if status >= 500:
                raise StoreUnreachable(f"The queue {self._shown} answers {status}. Try again later.") from None
            raise StoreDenied(
                f"The queue {self._shown} refuses ({code}). Check its URL and the rights to receive and delete."
            ) from None
        except exceptions.BotoCoreError as error:
            raise StoreUnreachable(
                f"The queue {self._shown} cannot be reached ({type(error).__name__}). Check inbox_events_url."
            ) from None


def _open(url: str, options: StoreOptions) -> tuple[Any, str]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise StorageError(
            "Events of a bucket need boto3, which is not installed. Run: pip install 'media_assets[s3]'"
        ) from None
    region, endpoint, arn = options.s3_region, None, None
    if url.startswith("arn:"):
        arn = url.split(":")
        if len(arn) != 6 or arn[2] != "sqs":
            raise StorageError(f"{url} is not the ARN of a queue. Write arn:aws:sqs:REGION:ACCOUNT:NAME.")
        region = arn[3] or region
    else:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise StorageError(
                "inbox_events_url is not the URL of a queue. Write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME."
            )
        labels = parts.hostname.split(".")
        if parts.hostname.endswith((".amazonaws.com", ".amazonaws.com.cn")) and labels[0] == "sqs":
            region = labels[1]
        endpoint = f"{parts.scheme}://{parts.netloc}"
    try:
        client = boto3.session.Session().client(
            "sqs",
            endpoint_url=endpoint,
            region_name=region or "us-east-1",
            aws_access_key_id=options.s3_access_key_id,
            aws_secret_access_key=options.s3_secret_access_key,
        )
        if arn is not None:
            url = client.get_queue_url(QueueName=arn[5], QueueOwnerAWSAccountId=arn[4])["QueueUrl"]
    except (BotoCoreError, ClientError, ValueError) as error:
        raise StorageError(
            f"The queue {url} cannot be opened ({type(error).__name__}). Check inbox_events_url."
        ) from None
    return client, url
