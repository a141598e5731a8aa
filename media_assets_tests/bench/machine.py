"""What a benchmark says about its machine and its files, and how it is repeated."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import click

SHARED = Path(os.environ.get("MEDIA_ASSETS_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def cpu_model() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe_machine(packages: Sequence[str]) -> str:
    """One line: processor, cores, load, versions."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        f"{cpu_model()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, "
        f"{versions}"
    )


def rounds(modes: Mapping[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """Run every mode ``count`` times, in turn, and return what each said (seconds)."""
    said: dict[str, list[float]] = {name: [] for name in modes}
    for number in range(count):
        order = list(modes) if number % 2 == 0 else list(reversed(modes))
        for name in order:
            said[name].append(modes[name]())
        click.echo(
            f"round {number + 1} of {count}: " + ", ".join(f"{name} {said[name][-1]:.2f} s" for name in modes), err=True
        )
    return said


def medians(said: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each mode."""
    return {name: statistics.median(values) for name, values in said.items()}
