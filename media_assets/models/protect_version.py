"""What decides how copies are covered, as one word; apart from ``protect``, whose import loads decoders."""

import hashlib
import json
from dataclasses import asdict

from media_assets.models.face_search import DETECTORS
from media_assets.models.protect_records import ProtectOptions
from media_assets.models.registry import model_named

_REVISION = 2  # raise it when the same choices give other covers


def protect_version(options: ProtectOptions) -> str:
    """Return what decides how copies are covered: equal for options that give the same copies, by the same code."""
    nets = [model_named(name).version for name in DETECTORS]
    stated = json.dumps([_REVISION, asdict(options), nets], sort_keys=True)
    return hashlib.sha256(stated.encode()).hexdigest()[:16]
