"""How fast and how well faces are grouped into people: ``python -m media_assets_tests.bench.people_speed``.

Synthetic vectors of 128 values: people of very different numbers of faces, shots of one at a cosine distance of 0.4,
strangers at 1. Times of the library's own function, with all faces new, and with a hundredth new among known people.
"""

import resource
import time

import click
import numpy as np
from numpy.typing import NDArray

from media_assets.models.registry import model_named
from media_assets.pipeline.people import grouping
from media_assets.pipeline.people.faces import EncodedFaces
from media_assets.storage.people_edits import FaceReference

_DIM, _NOISE = 128, 0.82


def synthetic(count: int, seed: int = 0) -> tuple[EncodedFaces, NDArray[np.int64]]:
    """Faces, one in a picture, and who they are. Numbers of faces follow Zipf's law."""
    random = np.random.default_rng(seed)
    people = max(1, count // 20)
    weights = 1 / np.arange(1, people + 1)
    who = random.choice(people, count, p=weights / weights.sum())
    centers = random.normal(size=(people, _DIM)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    noise = random.normal(size=(count, _DIM)).astype(np.float32) / np.float32(np.sqrt(_DIM))
    references = [FaceReference(media_id=f"{n:07d}", frame_s=None, box_px=(0, 0, 80, 80)) for n in range(count)]
    faces = EncodedFaces(
        owner="bench",
        model=model_named("mobilefacenet").version,
        metric="cosine",
        references=references,
        indices=[0] * count,
        input_versions=["0"] * count,
        vectors=centers[who] + np.float32(_NOISE) * noise,
        quality=np.full(count, 0.9),
    )
    return faces, who


def pairwise(found: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[float, float]:
    """Precision and recall of the pairs of one person."""

    def pairs(labels: NDArray[np.int64]) -> float:
        counts = np.unique(labels, return_counts=True)[1].astype(np.float64)
        return float((counts * (counts - 1) / 2).sum())

    both = pairs(found * (int(truth.max()) + 1) + truth)
    return both / max(1.0, pairs(found)), both / max(1.0, pairs(truth))


@click.command()
@click.option("--faces", "count", type=click.IntRange(min=100), default=20_000, show_default=True)
def main(count: int) -> None:
    """Measure."""
    faces, truth = synthetic(count)
    started = time.perf_counter()
    grouped = grouping.group_faces(faces, (), (), anew=True)
    seconds = time.perf_counter() - started
    labels = np.unique([str(one) for one in grouped.person_ids], return_inverse=True)[1]
    precision, recall = pairwise(labels, truth)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    click.echo(
        f"all new: {count} faces, {seconds:.1f} s, {peak} MB; {labels.max() + 1} people of {len(np.unique(truth))}, "
        f"pairwise precision {precision:.4f}, recall {recall:.4f}"
    )
    known = [
        (one, person)
        for position, (one, person) in enumerate(zip(faces.references, grouped.person_ids, strict=True))
        if position % 100 and person is not None
    ]
    grouping.REGROUPED_FACES = 0
    started = time.perf_counter()
    again = grouping.group_faces(faces, known, ())
    seconds = time.perf_counter() - started
    same = np.mean([a == b for a, b in zip(again.person_ids, grouped.person_ids, strict=True)])
    click.echo(f"1 % new: {seconds:.1f} s; {same:.4f} of the faces have the person that they had")


if __name__ == "__main__":
    main()
