"""A private PostgreSQL server for benchmarks: own data folder, loopback only, gone afterwards."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_START_TIMEOUT_S = 30.0
_NO_ROOT_USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root


class NoPostgresError(Exception):
    """There is no PostgreSQL server on this machine, or it does not start."""


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        version: As the program says it.
        process: The postmaster.
        address: ``host:port``.
        password: Of the user ``bench``.
    """

    version: str
    process: psutil.Process
    address: str
    password: str

    def new_database(self) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        import psycopg2

        name = f"bench_{secrets.token_hex(4)}"
        host, _, port = self.address.partition(":")
        connection = psycopg2.connect(host=host, port=port, user="bench", password=self.password, dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return f"postgresql+psycopg2://bench:{self.password}@{self.address}/{name}"

    def cpu_s(self) -> float:
        """CPU seconds of the server: its processes, and those of connections that have ended."""
        total = sum(self.process.cpu_times()[:4])
        for process in self.process.children(recursive=True):
            try:
                total += sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue  # the postmaster has it now
        return total


def _program(name: str) -> str:
    found = shutil.which(name)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: path.parts[-3].zfill(3))
    if found is None and not versions:
        raise NoPostgresError(f"There is no {name}. On Debian and Ubuntu: apt install postgresql")
    return found or str(versions[-1])


def _as_other_user(folder: Path) -> list[str]:
    """Prefix of commands that must not run as root; the folder is given to who runs them."""
    if os.geteuid() != 0:
        return []
    for name in _NO_ROOT_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    raise NoPostgresError("PostgreSQL does not run as root, and there is no other user to run it as.")


@contextmanager
def private_postgres(folder: Path) -> Iterator[Postgres]:
    """Run a server with default settings in ``folder`` (created; its parents must be open to other users).

    Raises:
        NoPostgresError: None is installed, or it does not start.
    """
    initdb, server = _program("initdb"), _program("postgres")
    folder.mkdir()
    prefix = _as_other_user(folder)
    data, password_file = folder / "data", folder / "password"
    password = secrets.token_hex(16)
    password_file.write_text(password, "utf-8")
    password_file.chmod(0o644)  # the folder is closed to others by then
    folder.chmod(0o700)
    made = subprocess.run(
        [*prefix, initdb, "-D", data, "-U", "bench", "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if made.returncode != 0:
        raise NoPostgresError(f"initdb failed: {made.stderr[-500:]}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "unix_socket_directories="]
    log = folder / "log"
    with log.open("wb") as output:
        # setpriv becomes the server: the process is the postmaster itself.
        process = subprocess.Popen([*prefix, server, "-D", data, *options], stdout=output, stderr=output, cwd="/")
    try:
        version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        postgres = Postgres(version, psutil.Process(process.pid), f"127.0.0.1:{port}", password)
        _wait(process, postgres, log)
        yield postgres
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(process: "subprocess.Popen[bytes]", postgres: Postgres, log: Path) -> None:
    import psycopg2

    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            postgres.new_database()
        except psycopg2.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoPostgresError(f"PostgreSQL does not start: {log.read_text('utf-8')[-500:]}") from error
            time.sleep(0.1)
        else:
            return
