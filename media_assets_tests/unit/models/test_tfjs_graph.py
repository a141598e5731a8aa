"""Conversion of TensorFlow.js graph models: converted models give what the operations are defined to give."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media_assets.models.onnx_runtime import open_session
from media_assets.models.tfjs_graph import TfjsFormatError, convert
from media_assets_tests.unit.models.tfjs_models import graph_model, integers, node, text

Values = NDArray[Any]
X = np.random.default_rng(1).normal(size=(1, 6, 8, 3)).astype(np.float32)
NHWC = {"data_format": text("NHWC")}


def whole(*values: int) -> Values:
    return np.array(values, np.int32)


def run(
    nodes: Sequence[Mapping[str, Any]], weights: Mapping[str, Values], halves: Sequence[str] = (), x: Values = X
) -> Values:
    """Return what the converted model says for ``x``; its output is ``y``."""
    session = open_session(convert(*graph_model(nodes, weights, x.shape, ["y"], halves)), has_fixed_input=True)
    return np.asarray(session.run(["y"], {"x": x})[0])


def convolved(x: Values, kernel: Values, stride: int, *, is_padded: bool) -> Values:
    """The definition, for a picture in NHWC and a kernel of height, width, input, output."""
    height, width = kernel.shape[:2]
    sides = [
        -(-side // stride) if is_padded else (side - size) // stride + 1
        for side, size in zip(x.shape[1:3], (height, width), strict=True)
    ]
    if is_padded:
        missing = [
            max((out - 1) * stride + size - side, 0)
            for out, side, size in zip(sides, x.shape[1:3], (height, width), strict=True)
        ]
        x = np.pad(x, ((0, 0), *((gap // 2, gap - gap // 2) for gap in missing), (0, 0)))
    y = np.empty((1, *sides, kernel.shape[3]), np.float32)
    for row in range(sides[0]):
        for column in range(sides[1]):
            part = x[0, row * stride : row * stride + height, column * stride : column * stride + width]
            y[0, row, column] = np.tensordot(part, kernel, 3)
    return y


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(3, 3), (2, 1)])
def test_convolution(padding: str, stride: int, size: tuple[int, int]) -> None:
    kernel = np.random.default_rng(2).normal(size=(*size, 3, 4)).astype(np.float32)
    attributes = {
        "padding": text(padding),
        "strides": integers(1, stride, stride, 1),
        "dilations": integers(1, 1, 1, 1),
    }
    y = run([node("Conv2D", "y", "x", "k", **attributes, **NHWC)], {"k": kernel})
    assert y == pytest.approx(convolved(X, kernel, stride, is_padded=padding == "SAME"), abs=1e-4)


def test_pooling() -> None:
    attributes = {"padding": text("VALID"), "strides": integers(1, 2, 2, 1), "ksize": integers(1, 2, 2, 1)}
    y = run([node("MaxPool", "y", "x", **attributes, **NHWC)], {})
    assert np.array_equal(y[0], X[0].reshape(3, 2, 4, 2, 3).max(axis=(1, 3)))


def test_activations_sums_and_identity() -> None:
    bias = np.array([1, -2, 3], np.float32)
    nodes = [
        node("Add", "sum", "x", "b"),
        node("LeakyRelu", "leaky", "sum", alpha={"f": 0.1}),
        node("Sigmoid", "sigmoid", "leaky"),
        node("Identity", "y", "sigmoid"),
    ]
    leaky = np.where(X + bias > 0, X + bias, 0.1 * (X + bias))
    assert run(nodes, {"b": bias}) == pytest.approx(1 / (1 + np.exp(-leaky)), abs=1e-6)


def test_transposition_padding_and_concatenation() -> None:
    nodes = [
        node("Transpose", "turned", "x", "perm"),
        node("Pad", "zeros", "turned", "widths"),
        node("PadV2", "sevens", "turned", "widths", "seven"),
        node("ConcatV2", "y", "zeros", "sevens", "axis"),
    ]
    widths = np.array([[0, 0], [0, 1], [2, 0], [1, 1]], np.int32)
    weights = {"perm": whole(0, 3, 1, 2), "widths": widths, "seven": np.float32(7), "axis": np.int32(1)}
    turned = X.transpose(0, 3, 1, 2)
    both = [np.pad(turned, widths, constant_values=value) for value in (0, 7)]
    assert np.array_equal(run(nodes, weights), np.concatenate(both, axis=1))  # type: ignore[arg-type]


def test_split_has_many_outputs_and_shapes_are_worked_out() -> None:
    nodes = [
        node("SplitV", "parts", "x", "sizes", "axis"),
        # Shapes, as exporters of PyTorch models write them: scattered constants, added up.
        node("SparseToDense", "row", "places", "length", "row_values", "zero"),
        node("AddV2", "shape", "rest", "row"),
        node("Reshape", "y", "parts:1", "shape"),
    ]
    weights = {
        "sizes": whole(1, 2),
        "axis": np.int32(-1),
        "places": np.array([[1]], np.int32),
        "length": whole(2),
        "row_values": whole(6),
        "zero": np.int32(0),
        "rest": whole(16, 0),
    }
    assert np.array_equal(run(nodes, weights), X[..., 1:].reshape(16, 6))


def test_resizing_has_half_pixel_centres() -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 4, 1)
    flags = {"half_pixel_centers": {"b": True}, "align_corners": {"b": False}}
    y = run([node("ResizeBilinear", "y", "x", "size", **flags)], {"size": whole(1, 8)}, x=x)
    assert y.reshape(-1) == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_weights_of_half_precision() -> None:
    values = np.array([0.1, 1000.25, -3], np.float32)
    y = run([node("Add", "y", "x", "b")], {"b": values}, halves=["b"])
    assert y == pytest.approx(X + values.astype(np.float16).astype(np.float32))


def test_conversion_is_repeatable_and_leaves_out_what_nothing_needs() -> None:
    nodes = [node("Identity", "y", "x"), node("NotKnown", "aside", "x")]
    parts = graph_model(nodes, {"unused": np.ones(10000, np.float32)}, X.shape, ["y"])
    first = convert(*parts)
    assert first == convert(*parts)
    assert len(first) < 1000


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        ([node("NotKnown", "y", "x")], "operation NotKnown"),
        ([node("Identity", "y", "gone")], "no node gone"),
        ([node("Transpose", "y", "x", "x")], "x is not constant"),
        ([node("ResizeBilinear", "y", "x", "size", align_corners={"b": True})], "half-pixel"),
        (
            [
                node(
                    "Conv2D",
                    "y",
                    "x",
                    "k",
                    padding=text("EXPLICIT"),
                    strides=integers(1, 1, 1, 1),
                    dilations=integers(1, 1, 1, 1),
                    **NHWC,
                )
            ],
            "padding EXPLICIT",
        ),
    ],
)
def test_what_is_not_known_is_an_error(nodes: list[dict[str, Any]], complaint: str) -> None:
    weights = {"size": whole(3, 3), "k": np.ones((1, 1, 3, 3), np.float32)}
    with pytest.raises(TfjsFormatError, match=complaint):
        convert(*graph_model(nodes, weights, X.shape, ["y"]))


@pytest.mark.parametrize("change", [b"", b"{}", b"[1]", b"\xff"])
def test_something_else_is_no_graph_model(change: bytes) -> None:
    with pytest.raises(TfjsFormatError, match=r"not a TensorFlow\.js graph model"):
        convert(change, b"")


@pytest.mark.parametrize("lack", [-4, 4])
def test_weights_have_to_have_their_length(lack: int) -> None:
    topology, weights = graph_model([node("Add", "y", "x", "b")], {"b": np.ones(3, np.float32)}, X.shape, ["y"])
    with pytest.raises(TfjsFormatError):
        convert(topology, weights[:lack] if lack < 0 else weights + bytes(lack))
