"""How fast renditions are, alone and through Dagster, against what users would write: ``make bench-renditions``.

Part ``renditions``: previews and thumbnails of 12-megapixel JPEGs on all cores, ours from an object store into it, the
others from files into files. Part ``pipeline``: the command line with original, metadata and thumbnails, against a bare
script. Rounds are interleaved (A B C, C B A, ...), every contestant runs in child processes, figures are medians.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageOps

from media_assets_tests.bench.machine import describe_machine
from media_assets_tests.bench.peers.pillow_renditions import SIZES, fitted
from media_assets_tests.bench.photo_corpus import photos
from media_assets_tests.bench.through_dagster import POSTGRES, SCRIPT, Calls, opened, start_up

GOAL_PYVIPS = 1.3
GOAL_TUTORIAL = 5.0
GOAL_SCRIPT = 1.3
GOAL_SECOND_S = 2.0
_JUDGED = 2  # files whose renditions are compared with the best possible ones
_PACKAGES = ("Pillow", "pyvips-binary", "dagster")


@dataclass(frozen=True)
class Mode:
    """A contestant of the first part.

    Attributes:
        contestant: Name in ``contestants.CONTESTANTS``.
        processes: How many.
        files: How many files it gets.
    """

    contestant: str
    processes: int
    files: int


@dataclass(frozen=True)
class Run:
    """What one run of a mode took and wrote."""

    files_per_s: float
    cpu_s_per_file: float
    bytes_per_file: float
    ssim: Mapping[int, float]
    ssimulacra2: float


# ---------------------------------------------------------------- first part


def _modes(cores: int, files: int, few: int) -> dict[str, Mode]:
    return {
        "ours": Mode("ours", cores, files),
        "pyvips": Mode("pyvips", cores, files),
        "Pillow, draft": Mode("pillow-draft", cores, files),
        "Pillow, tutorial": Mode("pillow-tutorial", cores, few),
        "Pillow, tutorial, 1 process": Mode("pillow-tutorial", 1, few),
    }


def _run(
    mode: Mode, sources: Sequence[Path], few: int, folder: Path, best: Mapping[Path, Mapping[int, Image.Image]]
) -> Run:
    listing = folder / "listing"
    listing.write_text("\0".join(map(str, sources[: mode.files])), "utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-m", "media_assets_tests.bench.contestants", mode.contestant]
        child = subprocess.Popen(
            [*command, str(listing), str(Path(out) / "out"), str(mode.processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "VIPS_CONCURRENCY": "1", "OMP_NUM_THREADS": "1"},
        )
        assert child.stdout is not None
        if child.stdout.readline().strip() != "ready":
            child.kill()
            raise click.ClickException(f"{mode.contestant} did not start. Its error is above.")
        os.sync()  # what the one before left to be written is not this one's burden
        answer, _ = child.communicate("go\n")
        if child.returncode != 0:
            raise click.ClickException(f"{mode.contestant} failed. Its error is above.")
        said = json.loads(answer)
        written = [{int(size): Path(path) for size, path in one.items()} for one in said["written"]]
        ssim, ssimulacra2 = _judge(dict(zip(sources, written, strict=False)), best, mode.contestant, Path(out))
        return Run(
            files_per_s=len(written) / said["wall_s"],
            cpu_s_per_file=said["cpu_s"] / len(written),
            bytes_per_file=statistics.mean(sum(path.stat().st_size for path in one.values()) for one in written[:few]),
            ssim=ssim,
            ssimulacra2=ssimulacra2,
        )


def best_possible(source: Path) -> dict[int, Image.Image]:
    """Full decode, upright, Lanczos from the full size, not encoded: what a rendition is compared with."""
    with Image.open(source) as opened_file:
        picture = ImageOps.exif_transpose(opened_file).convert("RGB")
    return {box: picture.resize(fitted(picture.size, box), Image.Resampling.LANCZOS) for box in (1600, 300)}


def _judge(
    written: Mapping[Path, Mapping[int, Path]], best: Mapping[Path, Mapping[int, Image.Image]], name: str, folder: Path
) -> tuple[dict[int, float], float]:
    """Mean SSIM to the best possible pictures, by size, and SSIMULACRA2 of the largest size.

    Everything that must hold for a fair comparison is checked.
    """
    from skimage.metrics import structural_similarity
    from ssimulacra2 import compute_ssimulacra2

    found: dict[int, list[float]] = {1600: [], 300: []}
    seen: list[float] = []
    for source, expected in best.items():
        for box in SIZES:
            with Image.open(written[source][box]) as image:
                bare = not image.info.get("icc_profile") and not len(image.getexif())
                if max(image.size) != box or not image.info.get("progressive") or not bare:
                    raise click.ClickException(
                        f"{name} wrote no bare progressive JPEG of {box} px: {image.format} {image.size}"
                    )
                if box in expected:
                    pair = np.asarray(expected[box]), np.asarray(image.convert("RGB"))
                    if pair[0].shape != pair[1].shape:
                        raise click.ClickException(f"{name} wrote {image.size}, expected {expected[box].size}.")
                    found[box].append(float(structural_similarity(*pair, channel_axis=2, data_range=255)))
                    if box == max(SIZES):
                        expected[box].save(folder / "expected.png", compress_level=1)
                        seen.append(compute_ssimulacra2(folder / "expected.png", written[source][box]))
    return {box: statistics.mean(values) for box, values in found.items()}, statistics.mean(seen)


def _renditions(sources: Sequence[Path], rounds: int, few: int, folder: Path) -> dict[str, Any]:
    modes = _modes(os.cpu_count() or 1, len(sources), min(few, len(sources)))
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        judged = sources[:_JUDGED]
        best = dict(zip(judged, executor.map(best_possible, judged), strict=True))
    runs = _interleaved(list(modes), rounds, lambda name: _run(modes[name], sources, few, folder, best), _said)
    typical = {
        name: {
            "processes": modes[name].processes,
            "files": modes[name].files,
            "files_per_s": statistics.median(run.files_per_s for run in runs[name]),
            "cpu_s_per_file": statistics.median(run.cpu_s_per_file for run in runs[name]),
            "bytes_per_file": runs[name][0].bytes_per_file,
            "ssim_1600": runs[name][0].ssim[1600],
            "ssim_300": runs[name][0].ssim[300],
            "ssimulacra2_1600": runs[name][0].ssimulacra2,
        }
        for name in modes
    }
    return {
        "modes": typical,
        "goals": {
            "times the throughput of pyvips": [_times(typical, "pyvips"), GOAL_PYVIPS],
            "times the throughput of the Pillow tutorial": [_times(typical, "Pillow, tutorial"), GOAL_TUTORIAL],
        },
    }


def _times(typical: Mapping[str, Mapping[str, Any]], name: str) -> float:
    return float(typical["ours"]["files_per_s"] / typical[name]["files_per_s"])


def _said(run: Run) -> str:
    return f"{run.files_per_s:.2f} files/s, {run.cpu_s_per_file:.3f} CPU s/file"


def _interleaved(
    names: Sequence[str], rounds: int, run: Callable[[str], Any], say: Callable[[Any], str]
) -> dict[str, list[Any]]:
    runs: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            runs[name].append(run(name))
            click.echo(f"round {number + 1} of {rounds}: {name}: {say(runs[name][-1])}", err=True)
    return runs


def _print_renditions(summary: Mapping[str, Any]) -> None:
    click.echo("\nrenditions: 1600, 1200, 600, 300 and 150 px, progressive JPEG; start of processes not counted")
    click.echo(
        f"{'':<28}{'files':>6}{'processes':>10}{'files/s':>9}{'CPU s/file':>12}{'kB/file':>9}"
        f"{'SSIM 1600':>11}{'300':>8}{'SSIMULACRA2':>13}{'speed':>8}{'CPU':>8}"
    )
    ours = summary["modes"]["ours"]
    for name, one in summary["modes"].items():
        speed, cpu = ours["files_per_s"] / one["files_per_s"], one["cpu_s_per_file"] / ours["cpu_s_per_file"]
        click.echo(
            f"{name:<28}{one['files']:>6}{one['processes']:>10}{one['files_per_s']:>9.2f}{one['cpu_s_per_file']:>12.3f}"
            f"{one['bytes_per_file'] / 1000:>9.0f}{one['ssim_1600']:>11.4f}{one['ssim_300']:>8.4f}"
            f"{one['ssimulacra2_1600']:>13.1f}{speed:>7.2f}x{cpu:>7.2f}x"
        )
    click.echo("speed, CPU: ours is so many times as fast, and they need so many times our CPU time.")
    click.echo("kB: mean of the files that all of them got, five renditions together.")
    click.echo("SSIM, SSIMULACRA2 (1600 px): to a full decode and Lanczos, before encoding; RGB, mean of two files.")


# ---------------------------------------------------------------- second part


def _pipeline(sources: Sequence[Path], rounds: int, folder: Path) -> dict[str, Any]:
    with opened(sources[0].parent, len(sources), folder) as (bench, server):
        runs: dict[str, list[Calls]] = _interleaved(
            bench.names,
            rounds,
            bench.run,
            lambda calls: (
                f"{calls.first.wall_s:.1f} s, CPU {calls.first.cpu_s:.1f} s; again: {calls.second.wall_s:.2f} s"
            ),
        )
    start_s = statistics.median(start_up() for _ in range(max(3, rounds)))
    typical = {
        name: {
            "seconds": statistics.median(calls.first.wall_s for calls in runs[name]),
            "files_per_s": len(sources) / statistics.median(calls.first.wall_s for calls in runs[name]),
            "cpu_s_per_file": statistics.median(calls.first.cpu_s for calls in runs[name]) / len(sources),
            "second_s": statistics.median(calls.second.wall_s for calls in runs[name]),
            "second_cpu_s": statistics.median(calls.second.cpu_s for calls in runs[name]),
        }
        for name in bench.names
    }
    goals: dict[str, list[float]] = {}
    if POSTGRES in typical:
        ours = typical[POSTGRES]
        goals = {
            "times the time of the bare script (Postgres)": [
                ours["seconds"] / typical[SCRIPT]["seconds"],
                -GOAL_SCRIPT,
            ],
            "seconds of a call with nothing to do, beyond start-up": [ours["second_s"] - start_s, -GOAL_SECOND_S],
        }
    return {"files": len(sources), "server": server, "start_up_s": start_s, "modes": typical, "goals": goals}


def _print_pipeline(summary: Mapping[str, Any]) -> None:
    click.echo(f"\npipeline: original + metadata + thumbnails of {summary['files']} files, whole processes")
    click.echo(
        f"{'':<28}{'files/s':>9}{'CPU s/file':>12}{'time':>8}{'CPU':>8}{'again, s':>10}{'again, CPU s':>14}"
        f"   ({summary['server']})"
    )
    script = summary["modes"][SCRIPT]
    for name, one in summary["modes"].items():
        time, cpu = (one[key] / script[key] for key in ("seconds", "cpu_s_per_file"))
        click.echo(
            f"{name:<28}{one['files_per_s']:>9.2f}{one['cpu_s_per_file']:>12.3f}{time:>7.2f}x{cpu:>7.2f}x"
            f"{one['second_s']:>10.2f}{one['second_cpu_s']:>14.2f}"
        )
    click.echo(f"time, CPU: against the script, which keeps no originals. Start-up: {summary['start_up_s']:.2f} s.")


# ---------------------------------------------------------------- command


def missed(goals: Mapping[str, Sequence[float]]) -> list[str]:
    """Return each goal as a sentence if it is missed. A goal is a least value, or a largest one written negative."""
    return [
        f"{name}: {value:.2f}, goal {'at most' if goal < 0 else 'at least'} {abs(goal):g}"
        for name, (value, goal) in goals.items()
        if (value > -goal if goal < 0 else value < goal)
    ]


@click.command()
@click.option("--part", type=click.Choice(["renditions", "pipeline", "all"]), default="all", show_default=True)
@click.option("--corpus", type=click.Path(path_type=Path, exists=True), help="Folder with JPEGs of 12 megapixels.")
@click.option(
    "--files", default=300, show_default=True, type=click.IntRange(2), help="Files of 12 megapixels, about 3 MB each."
)
@click.option("--few", default=12, show_default=True, type=click.IntRange(2), help="Files for the Pillow tutorial.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Interleaved rounds.")
@click.option("--goals/--no-goals", default=True, show_default=True, help="Fail when a goal is missed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(part: str, corpus: Path | None, files: int, few: int, rounds: int, goals: bool, as_json: bool) -> None:
    """Measure renditions alone and through Dagster, against pyvips, Pillow and a bare script."""
    cache = Path(tempfile.gettempdir()) / "media_assets-bench-photos"
    with tempfile.TemporaryDirectory(prefix="bench-renditions-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # the database server may run as another user
        sources, what = photos(corpus, files, folder / "photos", cache)
        summary: dict[str, Any] = {"machine": describe_machine(_PACKAGES), "files": what, "rounds": rounds}
        if part != "pipeline":
            summary["renditions"] = _renditions(sources, rounds, few, folder)
        if part != "renditions":
            summary["pipeline"] = _pipeline(sources, rounds, folder)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(summary["machine"])
        click.echo(f"{what}; medians of {rounds} interleaved rounds; CPU time of all processes.")
        if "renditions" in summary:
            _print_renditions(summary["renditions"])
        if "pipeline" in summary:
            _print_pipeline(summary["pipeline"])
    found = [line for name in ("renditions", "pipeline") for line in missed(summary.get(name, {}).get("goals", {}))]
    for line in found:
        click.echo(f"missed: {line}", err=True)
    if found and goals:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
