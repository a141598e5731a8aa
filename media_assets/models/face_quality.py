"""How well a face can be recognised: its size, how sharp it is, and where it looks. Nothing about who or what it is.

The angles are estimates from five landmarks, good to some ten degrees; they tell a profile from a portrait.
"""

import math

import numpy as np

from media_assets.models.face_alignment import LANDMARKS, aligned
from media_assets.models.records import DetectedFace, FaceQuality, Picture

# Below the first, encoders tell nobody from anybody; from the second on, more pixels do not help (in px of the
# picture).
_POOR_PX, _GOOD_PX = 20.0, 80.0
# Mean size of the Laplacian of the aligned face in grey levels, from blurred to sharp.
_BLURRED, _SHARP = 2.0, 9.0
_FULL_TURN_DEG = 60.0  # a profile
# In a frontal face the nose lies half-way between the eyes and, from eyes to mouth, so far down.
_NOSE_DOWN = 0.52
_YAW_DEG_PER_SHARE, _PITCH_DEG_PER_SHARE = 110.0, 120.0


def measure_quality(picture: Picture, face: DetectedFace) -> FaceQuality | None:
    """Measure a face; ``None`` where the detector gave no landmarks, without which nothing is known of its pose.

    The score is the product of three shares, each 0-1: of size (20 px: 0, 80 px: 1), of sharpness, and of pose
    (frontal: 1, turned by 60 degrees: 0), the last two counting half: one of them alone spoils a face less than size
    does.
    """
    if len(face.landmarks) != LANDMARKS:
        return None
    x_min, y_min, x_max, y_max = face.box
    size_px = max(0.0, min(x_max - x_min, y_max - y_min))
    sharpness = _sharpness(picture, face)
    yaw, pitch, roll = _angles(face)
    of_size = min(1.0, max(0.0, (size_px - _POOR_PX) / (_GOOD_PX - _POOR_PX)))
    of_pose = max(0.0, 1 - math.hypot(yaw, pitch) / _FULL_TURN_DEG)
    score = of_size * math.sqrt(sharpness) * math.sqrt(of_pose)
    return FaceQuality(size_px, sharpness, yaw, pitch, roll, score)


def _sharpness(picture: Picture, face: DetectedFace) -> float:
    """Detail of the inner part of the aligned face, 0-1; of the inner part, because hair and background are no face."""
    import cv2

    gray = np.asarray(cv2.cvtColor(aligned(picture, face), cv2.COLOR_RGB2GRAY), np.float32)
    edges = np.abs(np.asarray(cv2.Laplacian(gray, cv2.CV_32F), np.float32))[24:-12, 24:-24]
    return float(min(1.0, max(0.0, (float(edges.mean()) - _BLURRED) / (_SHARP - _BLURRED))))


def _angles(face: DetectedFace) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees; see :class:`~media_assets.models.records.FaceQuality` for their signs."""
    right_eye, left_eye, nose, right_mouth, left_mouth = (np.asarray(point) for point in face.landmarks)
    across = left_eye - right_eye
    roll = math.degrees(math.atan2(across[1], across[0]))
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    width = max(float(np.hypot(*across)), float(np.hypot(*(left_mouth - right_mouth))), 1e-6)
    height = max(float(np.hypot(*(mouth - eyes))), 1e-6)
    # In the frame of the face: x along the eyes, y down.
    unit = across / max(float(np.hypot(*across)), 1e-6)
    down = np.array([-unit[1], unit[0]])
    sideways = float((nose - (eyes + mouth) / 2) @ unit) / width
    lowered = float((nose - eyes) @ down) / height
    yaw = max(-90.0, min(90.0, sideways * _YAW_DEG_PER_SHARE))
    pitch = max(-90.0, min(90.0, (_NOSE_DOWN - lowered) * _PITCH_DEG_PER_SHARE))
    return yaw, pitch, roll
