"""Part ``pipeline`` of ``bench.renditions``: files through ``media-assets process``, against a bare pyvips script.

Whole processes are measured, from their start to their end, with the CPU time of all that they started; that of the
database server is added to the product's. Every call starts with nothing; the second call finds nothing changed.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from media_assets.instance import CONFIG_NAME, instance_config
from media_assets_tests.bench import peers
from media_assets_tests.bench.postgres import NoPostgresError, Postgres, private_postgres

SCRIPT = "bare pyvips script"
POSTGRES = "media-assets, Postgres"
SQLITE = "media-assets, SQLite"
ASSETS = "original,metadata,thumbnails"


@dataclass(frozen=True)
class Spent:
    """Wall and CPU seconds of one call."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Calls:
    """What one contestant took in one round: the first call, and the second on the same files."""

    first: Spent
    second: Spent


class ThroughDagster:
    """All contestants over the same folder of files."""

    def __init__(self, source: Path, files: int, folder: Path, postgres: Postgres | None) -> None:
        self.source, self.files, self._folder, self._postgres = source, files, folder, postgres
        self.names = [SCRIPT, SQLITE] if postgres is None else [SCRIPT, POSTGRES, SQLITE]

    def run(self, name: str) -> Calls:
        """Run a contestant on nothing, then once more on what it made.

        Raises:
            click.ClickException: It fails, or not every file came out.
        """
        out = self._folder / "out"
        out.mkdir()
        try:
            if name == SCRIPT:
                script = Path(peers.__file__).parent / "vips_script.py"
                command, environment = [sys.executable, str(script), str(self.source), str(out)], dict(os.environ)
            else:
                command = [*_cli(), "process", str(self.source), "--library", str(out / "library"), "--assets", ASSETS]
                environment = self._environment(name, out)
            os.sync()
            first = self._timed(command, environment)
            self._check(name, out)
            return Calls(first, self._timed(command, environment))
        finally:
            shutil.rmtree(out)

    def _environment(self, name: str, out: Path) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MEDIA_ASSETS_", "DAGSTER_"))}
        kept["DAGSTER_DISABLE_TELEMETRY"] = "yes"
        if name == SQLITE:
            return kept
        assert self._postgres is not None
        home = out / "home"
        home.mkdir()
        storage = f"\nstorage:\n  postgres:\n    postgres_url: {self._postgres.new_database()}\n"
        (home / CONFIG_NAME).write_text(instance_config() + storage, "utf-8")
        return kept | {"DAGSTER_HOME": str(home), "MEDIA_ASSETS_LEDGER_URL": self._postgres.new_database()}

    def _timed(self, command: list[str], environment: Mapping[str, str]) -> Spent:
        before, started = self._cpu_s(), time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        wall_s, cpu_s = time.perf_counter() - started, self._cpu_s() - before
        if done.returncode != 0:
            raise click.ClickException(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
        return Spent(wall_s, cpu_s)

    def _cpu_s(self) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime + (self._postgres.cpu_s() if self._postgres is not None else 0.0)

    def _check(self, name: str, out: Path) -> None:
        """Every file has its five renditions."""
        pictures = sum(1 for _ in out.rglob("renditions/*/*/*.jpg"))
        if pictures != 5 * self.files:
            raise click.ClickException(f"{name} wrote {pictures} renditions of {self.files} files.")
        if name == POSTGRES and (local := [path.name for path in out.rglob("*.db")]):
            raise click.ClickException(f"SQLite was used all the same: {', '.join(local)}")


def _cli() -> list[str]:
    return [sys.executable, "-m", "media_assets.cli"]


def start_up() -> float:
    """Seconds of ``media-assets --version``."""
    started = time.perf_counter()
    subprocess.run([*_cli(), "--version"], capture_output=True, check=True)
    return time.perf_counter() - started


@contextmanager
def opened(source: Path, files: int, folder: Path) -> Iterator[tuple[ThroughDagster, str]]:
    """Start the database server if there is one; yield the contestants and what the server is."""
    try:
        with private_postgres(folder / "postgres") as postgres:
            yield ThroughDagster(source, files, folder, postgres), postgres.version
    except NoPostgresError as error:
        click.echo(f"Without Postgres: {error}", err=True)
        yield ThroughDagster(source, files, folder, None), "no PostgreSQL"
