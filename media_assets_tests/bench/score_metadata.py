"""Score a library made from the shared corpus against its truth: ``python -m media_assets_tests.bench.score_metadata``.

The corpus goes through the real command line, the catalog through the tools beside the corpus. Meanwhile, nothing may
visit the ports that the hostile files name, and nothing outside the library may be read or written.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq

from media_assets_tests.bench.machine import SHARED
from media_assets_tests.bench.witness import SilentPorts, Traced, read_traces, strace_command

MIN_ACCEPTED, MIN_FIELD, MIN_ALL_FIELDS = 0.99, 0.98, 0.995
_ALL_LINES = "1000000"
_SECRET = "root:x:0:0"  # a line of the file that the hostile files point at
_MACHINE_REASONS = ("decoder_crashed", "decoder_timeout", "decoder_memory")


@dataclass
class Run:
    """What the command line did with the corpus."""

    report: dict[str, Any]
    seconds: float
    ports: SilentPorts
    traced: Traced | None
    left_in_home: list[str] = field(default_factory=list)
    goals_missed: list[str] = field(default_factory=list)

    def need(self, met: bool, goal: str) -> None:
        """Print a goal, and remember it when it is missed."""
        click.echo(f"  {'ok    ' if met else 'MISSED'}  {goal}")
        if not met:
            self.goals_missed.append(goal)


def _process(corpus: Path, work: Path, *, workers: int | None, strace: bool) -> Run:
    """Run ``media-assets process`` in a home, a temporary folder and a working folder of its own."""
    for name in ("home", "tmp", "cwd"):
        (work / name).mkdir()
    traces = work / "traces"
    prefix = (strace_command(traces) or []) if strace else []
    command = [sys.executable, "-m", "media_assets.cli", "process", str(corpus), "--library", str(work / "library")]
    command += ["--json", *(["--workers", str(workers)] if workers else [])]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIA_ASSETS_", "AWS_"))}
    environment = kept | {
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "MEDIA_ASSETS_ANALYZE": "false",  # scored by ``score_vision``
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    started = time.monotonic()
    with SilentPorts() as ports:
        done = subprocess.run(
            [*prefix, *command], cwd=work / "cwd", env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    seconds = time.monotonic() - started
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise click.ClickException(
            f"`media-assets process` ended with status {done.returncode} and no report. Run it by hand to see why: "
            f"media-assets process {corpus} --library /tmp/library"
        ) from None
    traced = read_traces(traces, allowed=[work, corpus]) if prefix else None
    left = [str(path.relative_to(work)) for name in ("home", "tmp", "cwd") for path in (work / name).rglob("*")]
    return Run(report, seconds, ports, traced, left)


def _tool(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SHARED / "tools" / name), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"{name} failed: {done.stderr.strip()[-500:]} Check that pandas is installed.")
    return done.stdout


def _verdicts(manifest: list[dict[str, Any]], rows: Path) -> tuple[dict[str, str], list[str]]:
    """Return what became of each file, and the files whose verdict is wrong."""
    status = {row["path"]: row["status"] for row in pq.read_table(rows, columns=["path", "status"]).to_pylist()}
    got = {file["path"]: status.get(file["path"], "no row") for file in manifest}
    wrong = []
    for file in manifest:
        state = got[file["path"]]
        if (file["verdict"] == "accept" and state != "accepted") or (
            file["verdict"] == "reject" and state != "rejected"
        ):
            wrong.append(f"{file['path']}: expected {file['verdict']}, got {state} ({file.get('reason', '')})")
    return got, wrong


def _check_fields(run: Run, manifest: Path, rows: Path) -> None:
    for tier in ("core", None):
        only = ["--tier", tier] if tier else []
        fields = json.loads(_tool("score-metadata", str(rows), str(manifest), *only, "--json"))["fields"]
        right = sum(one.get("match", 0) + one.get("null", 0) for one in fields.values())
        total = sum(one.get(k, 0) for one in fields.values() for k in ("match", "null", "wrong", "missed", "invented"))
        worst = min(fields, key=lambda name: fields[name]["rate"])
        rates = f"worst field {worst} {fields[worst]['rate']:.2%} (goal {MIN_FIELD:.0%})"
        run.need(fields[worst]["rate"] >= MIN_FIELD, f"{tier or 'all tiers'}: {rates}")
        share = right / max(1, total)
        run.need(share >= MIN_ALL_FIELDS, f"{tier or 'all tiers'}: all fields {share:.3%} (goal {MIN_ALL_FIELDS:.1%})")


def _check_verdicts(run: Run, files: list[dict[str, Any]], rows: Path) -> list[str]:
    got, wrong = _verdicts(files, rows)
    for tier in ("core", None):
        sound = [
            file["path"]
            for file in files
            if file["verdict"] == "accept" and file["path"].startswith("valid/") and tier in (None, file["tier"])
        ]
        accepted = sum(got[path] == "accepted" for path in sound)
        goal = f"{tier or 'all tiers'}: {accepted} of {len(sound)} valid files accepted (goal {MIN_ACCEPTED:.0%})"
        run.need(accepted >= MIN_ACCEPTED * len(sound), goal)
    hostile = sum(file["path"].startswith("hostile/") for file in files)
    wrong_hostile = sum(line.startswith("hostile/") for line in wrong)
    run.need(not wrong_hostile, f"{hostile - wrong_hostile} of {hostile} hostile verdicts right (goal: all)")
    return wrong


def _check_isolation(run: Run, rows: Path, work: Path) -> list[str]:
    failures = list(run.report["failures"])
    run.need(run.report["exit_code"] == 0 and not failures, f"the run ended well ({len(failures)} failures)")
    ports = f"{', '.join(run.ports.bound) or 'no port'} of 127.0.0.1 stayed silent"
    unbound = f" (not bound: {', '.join(run.ports.not_bound)})" if run.ports.not_bound else ""
    run.need(not run.ports.visitors, ports + unbound)
    run.need(not run.left_in_home, "nothing was left in HOME, TMPDIR or the working folder")
    leaked = [path.name for path in (work / "library" / "catalog").rglob("*.parquet") if _holds(path, _SECRET)]
    run.need(not leaked, "no table holds a line of a file that the hostile files point at")
    details = [*failures, *run.ports.visitors, *run.left_in_home, *leaked]
    if run.traced is None:
        click.echo("  -       system calls were not traced (strace is not on this machine, or was not asked for)")
        return details
    traced = run.traced
    run.need(traced.workers > 0, f"strace saw {traced.workers} decoder processes")
    run.need(not traced.written_outside, "no process wrote outside the library")
    run.need(not traced.read_outside, "no decoder opened a file that is neither a program nor its own copy")
    run.need(not traced.connections, "no process used the network")
    run.need(not traced.programs, "no decoder started a program")
    return [*details, *traced.written_outside, *traced.read_outside, *traced.connections, *traced.programs]


def _holds(path: Path, text: str) -> bool:
    table = pq.read_table(path)
    return any(text in str(value) for column in table.columns for value in column.to_pylist())


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), help="Leave the library in this new folder.")
@click.option("--workers", type=click.IntRange(1), help="Decoder processes.  [default: one per core]")
@click.option("--strace/--no-strace", default=True, show_default=True, help="Trace system calls where strace is there.")
def main(keep: Path | None, workers: int | None, strace: bool) -> None:
    """Process the corpus, print every mismatch and compare with the goals; exit status 1 below a goal."""
    corpus = SHARED / "corpus"
    manifest = corpus / "MANIFEST.jsonl"
    if not manifest.is_file():
        raise click.ClickException(
            f"There is no corpus at {corpus}. Set MEDIA_ASSETS_SHARED to the folder that holds corpus/ and tools/."
        )
    files = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory(prefix="score-") as temporary:
        work = Path(temporary).resolve()
        if keep is not None:
            keep.mkdir(parents=True)
            work = keep.resolve()
        run = _process(corpus, work, workers=workers, strace=strace)
        rows = work / "rows.parquet"
        click.echo(_tool("library-to-rows", str(work / "library"), str(rows)))
        for tier in ("core", ""):
            click.echo(f"=== {tier or 'every'} tier")
            only = ["--tier", tier] if tier else []
            # The whole corpus lists every mismatch; the tier only its table.
            show = "0" if tier else _ALL_LINES
            click.echo(_tool("score-metadata", str(rows), str(manifest), *only, "--show", show))
        reasons = Counter(one["reason_code"] for one in run.report["rejected"])
        click.echo(f"=== {run.report['listed']} files in {run.seconds:.0f} s; rejected: {dict(reasons.most_common())}")
        for one in run.report["rejected"]:
            if one["reason_code"] in _MACHINE_REASONS:
                click.echo(f"  {one['reason_code']}: {one['source_key']}: {one['message']}")
        click.echo("=== goals")
        _check_fields(run, manifest, rows)
        details = [*_check_verdicts(run, files, rows), *_check_isolation(run, rows, work)]
    if details:
        click.echo(f"=== {len(details)} verdicts and witnesses that are not right")
        for line in details:
            click.echo(f"  {line}")
    if run.goals_missed:
        raise click.ClickException(f"{len(run.goals_missed)} goals are missed; they are listed above.")


if __name__ == "__main__":
    main()
