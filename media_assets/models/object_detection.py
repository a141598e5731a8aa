"""Finding things of the 80 COCO classes: two views of each picture, one calibrated answer.

A network proposes boxes for the picture and for its mirror image; what both show counts more than what one shows. The
score of what comes out is the probability that a thing of this class is there, so that a threshold means the same for
every network. Networks are in their own files (``yolox``, ``nanodet``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from media_assets.models.candidates import (
    Candidates,
    Floats,
    agree,
    candidates_above,
    limit_rivals,
    suppress,
)
from media_assets.models.coco_labels import COCO_LABELS
from media_assets.models.letterbox import Letterbox
from media_assets.models.nanodet import NanodetNetwork
from media_assets.models.npm_package import read_model
from media_assets.models.onnx_runtime import open_session
from media_assets.models.records import DetectedObject, Picture
from media_assets.models.registry import ModelPlaces, ModelSpec, folder_of, read_verified
from media_assets.models.yolox import YoloxNetwork

_LEAST_SCORE = 0.01  # of a network: what is less likely is noise
_MOST_CANDIDATES = 1000
_MOST_OBJECTS = 100  # as COCO counts
_SAME_THING = 0.5  # intersection over union within one view, as YOLOX and COCO use it
_SAME_IN_BOTH_VIEWS = 0.55  # the default of weighted boxes fusion
_SAME_PLACE = 0.8


class Network(Protocol):
    """A detection network."""

    def views(self, picture: Picture) -> tuple[Letterbox, Letterbox]:
        """Return the picture as the network wants it, as it is and mirrored."""
        ...

    def propose(self, canvas: Picture) -> tuple[Floats, Floats]:
        """Return boxes of the canvas, shape (n, 4), and their scores for each class, shape (n, classes), 0-1."""
        ...


@dataclass(frozen=True)
class Calibration:
    """Scores of a network as probabilities (Platt 1999): a logistic curve over their log odds.

    Attributes:
        slope: Above 0: the order of scores stays.
        offset: Log odds of the probability where the network says 0.5.
    """

    slope: float
    offset: float

    def probabilities(self, scores: Floats) -> Floats:
        """Return probabilities for scores, 0-1."""
        inside = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
        log_odds = self.slope * np.log(inside / (1 - inside)) + self.offset
        return np.asarray(1 / (1 + np.exp(-log_odds)), np.float32)

    def score_of(self, probability: float) -> float:
        """Return the score that has a probability, 0-1."""
        if not 0 < probability < 1:
            return probability
        log_odds = (math.log(probability / (1 - probability)) - self.offset) / self.slope
        return 1 / (1 + math.exp(-log_odds))


# Fitted on 76 photos of COCO val2017 by bench/score_objects.py --fit; five-fold cross-validation gave the same curves.
# YOLOX is nearly right as it is; NanoDet, trained with quality focal loss, understates what it is sure of.
_YOLOX = Calibration(slope=1.13, offset=0.31)
_NANODET = Calibration(slope=2.57, offset=0.83)


class CalibratedDetector:
    """An object detector (``records.ObjectDetector``).

    Attributes:
        calibration: How scores of the network become probabilities.
    """

    def __init__(self, network: Network, calibration: Calibration) -> None:
        self._network = network
        self.calibration = calibration

    def detect(self, pictures: Sequence[Picture], threshold: float) -> list[list[DetectedObject]]:
        """Return the things in each picture, surest first, at most 100.

        Args:
            pictures: Upright sRGB.
            threshold: Least probability, 0-1. Low values give many guesses; they are for rankings, not for people.
        """
        return [self._detect(picture, threshold) for picture in pictures]

    def _detect(self, picture: Picture, threshold: float) -> list[DetectedObject]:
        # Two views can only reach a mean when each reaches what a perfect other view would leave.
        least = max(_LEAST_SCORE, 2 * self.calibration.score_of(threshold) - 1)
        as_is, mirrored = (self._view(view, least) for view in self._network.views(picture))
        merged = suppress(agree(as_is, mirrored, _SAME_IN_BOTH_VIEWS), _SAME_THING)
        likely = Candidates(merged.boxes, self.calibration.probabilities(merged.scores), merged.classes)
        found = limit_rivals(likely, _SAME_PLACE)
        return [
            DetectedObject(COCO_LABELS[class_], float(score), (box[0], box[1], box[2], box[3]))
            for box, score, class_ in zip(found.boxes.tolist(), found.scores, found.classes, strict=True)
            if score >= threshold and box[2] > box[0] and box[3] > box[1]
        ][:_MOST_OBJECTS]

    def _view(self, view: Letterbox, least: float) -> Candidates:
        boxes, scores = self._network.propose(view.canvas)
        found = candidates_above(boxes, scores, least, _MOST_CANDIDATES)
        return suppress(Candidates(view.to_picture(found.boxes), found.scores, found.classes), _SAME_THING)


def load_yolox(spec: ModelSpec, places: ModelPlaces) -> CalibratedDetector:
    """Load YOLOX-nano from the user's folder of models."""
    (model,) = read_verified(folder_of(spec, places), spec).values()
    return CalibratedDetector(YoloxNetwork(open_session(model, has_fixed_input=True)), _YOLOX)


def load_nanodet(spec: ModelSpec, places: ModelPlaces) -> CalibratedDetector:
    """Load NanoDet-g, fetched from the npm registry and converted when it is not there and may be fetched."""
    return CalibratedDetector(NanodetNetwork(open_session(read_model(spec, places), has_fixed_input=True)), _NANODET)
