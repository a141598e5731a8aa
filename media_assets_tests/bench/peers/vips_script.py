"""The bare script: SHA-256, EXIF, five renditions with libvips and one Parquet table, a process per core.

``python vips_script.py SOURCE OUT``. What somebody writes who needs no orchestrator: no originals kept, no retries, no
isolation, no rejects. A second call skips files of the same size and modification time.
"""

import hashlib
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ["VIPS_CONCURRENCY"] = "1"  # a process per core is faster than threads of libvips

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from vips_renditions import write_renditions

_EXIF, _GPS = 0x8769, 0x8825


def _degrees(parts: Any, reference: str | None) -> float | None:
    if not parts:
        return None
    value = sum(float(part) / 60**power for power, part in enumerate(parts))
    return -value if reference in ("S", "W") else value


def _row(source: Path) -> dict[str, Any]:
    with source.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with Image.open(source) as image:
        width, height = image.size
        exif = image.getexif()
    photo, position = exif.get_ifd(_EXIF), exif.get_ifd(_GPS)
    number = {
        name: float(value) if isinstance(value := photo.get(tag), IFDRational | int) else None
        for name, tag in (("exposure_s", 0x829A), ("f_number", 0x829D), ("focal_mm", 0x920A), ("iso", 0x8827))
    }
    status = source.stat()
    return {
        "path": str(source),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "sha256": sha256,
        "width": width,
        "height": height,
        "orientation": exif.get(0x0112, 1),
        "make": exif.get(0x010F),
        "model": exif.get(0x0110),
        "taken": photo.get(0x9003),
        "latitude": _degrees(position.get(2), position.get(1)),
        "longitude": _degrees(position.get(4), position.get(3)),
        **number,
    }


def process(job: tuple[Path, Path]) -> dict[str, Any]:
    """Do everything for one file and return its row."""
    source, out = job
    row = _row(source)
    folder = out / "renditions" / row["sha256"][:2] / row["sha256"]
    folder.mkdir(parents=True, exist_ok=True)
    write_renditions(source, folder)
    return row


def main(root: Path, out: Path) -> None:
    """Process what is new or has changed."""
    table = out / "files.parquet"
    known = {row["path"]: row for row in pq.read_table(table).to_pylist()} if table.exists() else {}
    rows, jobs = [], []
    for source in sorted(path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")):
        status, row = source.stat(), known.get(str(source))
        if row and (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
            rows.append(row)
        else:
            jobs.append((source, out))
    if jobs:
        with ProcessPoolExecutor() as executor:
            rows += executor.map(process, jobs, chunksize=4)
        out.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), table, compression="zstd")
    sys.stdout.write(f"{len(jobs)} processed, {len(rows)} rows\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
