"""Other words for the labels of models: what people call them, and what they are kinds of.

Plain data and its look-up. Labels are written as models write them: COCO classes for objects, readable names of
ImageNet classes or of a zero-shot vocabulary for scenes.
"""

from functools import cache

_SAME: dict[str, tuple[str, ...]] = {
    "airplane": ("plane", "aeroplane", "aircraft", "jet"),
    "backpack": ("rucksack",),
    "baseball glove": ("mitt",),
    "bicycle": ("bike", "cycle"),
    "boat": ("ship",),
    "cell phone": ("phone", "mobile", "smartphone", "telephone"),
    "couch": ("sofa", "settee"),
    "cow": ("cattle",),
    "cup": ("mug",),
    "dining table": ("table",),
    "donut": ("doughnut",),
    "frisbee": ("disc",),
    "hair drier": ("hair dryer", "hairdryer"),
    "handbag": ("purse", "bag"),
    "microwave": ("microwave oven",),
    "motorcycle": ("motorbike",),
    "person": ("human",),
    "potted plant": ("plant", "houseplant"),
    "refrigerator": ("fridge",),
    "remote": ("remote control",),
    "lakeside": ("lakeshore",),
    "seashore": ("shore", "seacoast"),
    "skateboard": ("longboard",),
    "soccer ball": ("football",),
    "sports ball": ("ball",),
    "suitcase": ("luggage", "baggage"),
    "teddy bear": ("teddy", "stuffed animal"),
    "television": ("tv",),
    "train": ("railway",),
    "truck": ("lorry",),
    "tv": ("television", "telly"),
    "wine glass": ("glass", "goblet"),
}

_KINDS: dict[str, tuple[str, ...]] = {
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "vehicle": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "fruit": ("banana", "apple", "orange"),
    "food": ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    "furniture": ("chair", "couch", "bed", "dining table"),
}
"""Kinds of COCO classes."""

# Numbers of ImageNet classes, in the order of the networks: one, or the first and the last of a run.
_IMAGENET_KINDS: dict[str, tuple[int | tuple[int, int], ...]] = {
    "airplane": (404, 895),
    "animal": ((0, 397),),
    "ape": ((365, 369),),
    "ball": ((429, 430), 522, 574, 722, 768, 805, 852, 890),
    "beach": ((977, 978),),
    "bear": ((294, 297),),
    "beetle": ((300, 307),),
    "bird": ((7, 24), (80, 100), (127, 146)),
    "boat": (472, 484, 554, 576, 625, 780, 814, 871, 914),
    "bottle": (440, 720, 737, 898, 901, 907),
    "bridge": (821, 839, 888),
    "building": (425, 483, (497, 498), 580, 624, 663, 668, 698),
    "bus": (654, 779, 874),
    "butterfly": ((321, 326),),
    "camera": (732, 759),
    "car": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    "cat": ((281, 285),),
    "clock": (409, 530, 892),
    "coast": ((976, 978),),
    "computer": (527, 590, 620, 681),
    "crab": ((118, 121),),
    "cup": (504, 968),
    "dog": ((151, 268),),
    "elephant": ((385, 386),),
    "fish": ((0, 6), (389, 397)),
    "flower": ((985, 986),),
    "food": ((924, 957), (959, 969)),
    "fox": ((277, 280),),
    "frog": ((30, 32),),
    "fruit": ((948, 957),),
    "guitar": (402, 546),
    "hat": (515, 808),
    "horse": (339,),
    "insect": ((300, 326),),
    "lake": (975,),
    "lizard": ((38, 48),),
    "monkey": ((370, 382),),
    "mountain": (970, 980),
    "mushroom": ((991, 997),),
    "panda": (388,),
    "phone": (487, 528, 707),
    "piano": (579, 881),
    "pig": ((341, 343),),
    "rabbit": ((330, 332),),
    "sea": (973, (976, 978)),
    "shark": ((2, 4),),
    "sheep": ((348, 349),),
    "ship": (403, 510, 628, 724, 780),
    "shoe": (502, 514, 630, 770, 774),
    "snake": ((52, 68),),
    "spider": ((72, 77),),
    "sofa": (831,),
    "squirrel": (335,),
    "train": (466, 547, 565, 705, 820),
    "truck": (555, 569, 675, 717, 864, 867),
    "turtle": ((33, 37),),
    "vegetable": ((936, 946),),
    "whale": ((147, 148),),
    "wolf": ((269, 271),),
}


@cache
def other_names(field: str, label: str) -> tuple[str, ...]:
    """Return what a label is also called, without the label itself; what it is a kind of comes last.

    Args:
        field: ``object`` or ``scene``: ``kite`` is a toy among objects, and a bird among scenes.
        label: As a model wrote it.
    """
    if field == "object":
        broader = [kind for kind, labels in _KINDS.items() if label in labels]
    else:
        broader = list(_imagenet_kinds().get(label, ()))
    return tuple(dict.fromkeys((*_SAME.get(label, ()), *broader)))


@cache
def _imagenet_kinds() -> dict[str, list[str]]:
    """What the labels of ImageNet are kinds of, by label."""
    from media_assets.models.efficientnet import imagenet_labels

    labels = imagenet_labels()
    kinds: dict[str, list[str]] = {}
    for kind, runs in _IMAGENET_KINDS.items():
        for run in runs:
            first, last = run if isinstance(run, tuple) else (run, run)
            for label in labels[first : last + 1]:
                kinds.setdefault(label, []).append(kind)
    return kinds
