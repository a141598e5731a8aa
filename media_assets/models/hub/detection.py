"""Object detectors of the hub: D-FINE, RT-DETR and their kin, trained on COCO."""

from collections.abc import Sequence

from media_assets.models.hub.runtime import Loaded, import_torch, load_pretrained
from media_assets.models.records import DetectedObject, Picture
from media_assets.models.registry import ModelPlaces, ModelSpec

_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""RT-DETR's configuration names these six classes of COCO as PASCAL VOC and Darknet do."""


class HubDetector:
    """Finds things of known classes."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        names = {int(key): str(name).lower().strip() for key, name in loaded.model.config.id2label.items()}
        self._labels = {key: _COCO_NAMES.get(name, name) for key, name in names.items()}

    def detect(self, pictures: Sequence[Picture], threshold: float) -> list[list[DetectedObject]]:
        """Return the things in each picture with a score of ``threshold`` at least, surest first."""
        if not pictures:
            return []
        torch, processor = import_torch(), self._loaded.processor
        inputs = processor(images=list(pictures), return_tensors="pt").to(self._loaded.device)
        sizes = [picture.shape[:2] for picture in pictures]
        with torch.inference_mode():
            outputs = self._loaded.model(**inputs)
            # The comparison in the library is strict, ours is not.
            found = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
        detected = []
        for one, (height, width) in zip(found, sizes, strict=True):
            rows = zip(one["scores"].tolist(), one["labels"].tolist(), one["boxes"].tolist(), strict=True)
            things = [self._thing(*row, width, height) for row in rows if row[0] >= threshold]
            detected.append(sorted((one for one in things if one is not None), key=lambda one: -one.score))
        return detected

    def _thing(self, score: float, label: int, box: list[float], width: int, height: int) -> DetectedObject | None:
        x_min, y_min, x_max, y_max = box
        x_min, x_max = (min(max(x, 0.0), float(width)) for x in (x_min, x_max))
        y_min, y_max = (min(max(y, 0.0), float(height)) for y in (y_min, y_max))
        name = self._labels.get(label)
        if name is None or x_max <= x_min or y_max <= y_min:  # "no object", or wholly outside
            return None
        return DetectedObject(name, min(score, 1.0), (x_min, y_min, x_max, y_max))


def load_detector(spec: ModelSpec, places: ModelPlaces) -> HubDetector:
    """Load an object detector.

    Raises:
        ModelError: As ``load_pretrained``.
    """
    return HubDetector(
        load_pretrained(spec, places, model_class="AutoModelForObjectDetection", processor_class="AutoImageProcessor")
    )
