"""How fast and how well near-duplicates are found: ``python -m media_assets_tests.bench.near_duplicates_speed``.

Always: groups of planted copies among random hashes, for which the truth is known. With ``--vision FOLDER``: the
labelled copies there among all other pictures of the folder, which are no part of the repository; equal bytes count as
the same picture, whatever their labels say. Only hashes are used, no vectors.
"""

import json
import resource
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageOps

from media_assets.media.perceptual_hash import dhash, phash
from media_assets.pipeline.near_duplicates import ComparedFile, rows_of_groups

_COPIES, _FLIPPED_BITS = 4, 4
_LISTED = 20

Pairs = set[tuple[str, str]]


def planted(count: int, seed: int = 0) -> tuple[list[ComparedFile], Pairs]:
    """Random pictures, a tenth of them in groups of copies that differ in up to four bits; and the true pairs."""
    random = np.random.default_rng(seed)
    files: list[ComparedFile] = []
    pairs: Pairs = set()
    while len(files) < count:
        hashes = [int(one) for one in random.integers(0, 2**64, 2, dtype=np.uint64)]
        # One in 31 places begins a group of four: a tenth of all files are in one.
        copies = _COPIES if random.random() < 1 / 31 else 1
        names = []
        for copy in range(copies):
            flips = [sum(1 << int(bit) for bit in random.choice(64, _FLIPPED_BITS * (copy > 0), False)) for _ in hashes]
            names.append(f"file-{len(files):07d}")
            found = [one ^ flip for one, flip in zip(hashes, flips, strict=True)]
            files.append(ComparedFile(names[-1], "bench", names[-1], "image", 0.0, 1, *found))
        pairs |= set(combinations(names, 2))
    return files, pairs


def found_pairs(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Pairs:
    """All pairs of files of one group."""
    groups: dict[str, list[str]] = defaultdict(list)
    for media_id, (row,) in rows.items():
        groups[row["group_id"]].append(media_id)
    return {pair for members in groups.values() for pair in combinations(sorted(members), 2)}


def labelled(folder: Path) -> tuple[list[ComparedFile], Pairs]:
    """The pictures of a folder with a MANIFEST.jsonl, and the pairs that its labels name."""
    files, groups = [], defaultdict(list)
    for line in (folder / "MANIFEST.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        with Image.open(folder / entry["path"]) as picture:
            gray = ImageOps.exif_transpose(picture).convert("L")
        files.append(
            ComparedFile(
                *(entry["path"], "bench", entry["sha256"], "image", 0.0, gray.width * gray.height),
                *(phash(gray), dhash(gray)),
            )
        )
        groups["bytes", entry["sha256"]].append(entry["path"])
        if entry["task"] == "neardup" and entry["labels"].get("group"):
            groups["label", entry["labels"]["group"]].append(entry["path"])
    return files, {pair for members in groups.values() for pair in combinations(sorted(members), 2)}


def report(name: str, files: list[ComparedFile], truth: Pairs, *, list_wrong: bool = False) -> None:
    """Group and print."""
    started = time.perf_counter()
    rows = rows_of_groups(files, {}, lambda media_ids: {})
    seconds = time.perf_counter() - started
    pairs = found_pairs(rows)
    right = len(pairs & truth)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    click.echo(
        f"{name}: {len(files)} files, {seconds:.1f} s, {peak} MB; "
        f"{len(truth)} true pairs, {len(pairs)} found: precision {right / max(1, len(pairs)):.4f}, "
        f"recall {right / max(1, len(truth)):.4f}"
    )
    if list_wrong:
        for kind, some in (("not true", pairs - truth), ("not found", truth - pairs)):
            for pair in sorted(some)[:_LISTED]:
                click.echo(f"  {kind}: {' '.join(pair)}")


@click.command()
@click.option("--files", "count", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--vision", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(count: int, vision: Path | None) -> None:
    """Measure."""
    report("planted", *planted(count))
    if vision is not None:
        report(str(vision), *labelled(vision), list_wrong=True)


if __name__ == "__main__":
    main()
