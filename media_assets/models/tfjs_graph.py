"""TensorFlow.js graph models as ONNX models, without TensorFlow: ``model.json`` and its weights in, ONNX bytes out.

Only the operations that the models of the registry use are known; another one is an error, never a guess. The layout
of tensors (NHWC) is kept: convolutions stand between two transpositions, most of which onnxruntime removes when it
loads the model. Format: ``tfjs-converter/docs/OVERVIEW.md`` of tensorflow/tfjs, operations as in TensorFlow's op
reference.
"""

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPSET = 18
_IR_VERSION = 9
_SAME = {"Sigmoid": "Sigmoid", "Identity": "Identity", "Add": "Add", "AddV2": "Add"}
_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
_WEIGHT_TYPES = {"float32": np.float32, "int32": np.int32, "float16": np.float16}

Node = Mapping[str, Any]
Array = NDArray[Any]


class TfjsFormatError(ValueError):
    """A model uses something that this converter does not know, or is not a graph model."""


def convert(model_json: bytes, weights: bytes) -> bytes:
    """Return a graph model as an ONNX model; inputs and outputs keep the names of the model's signature.

    Args:
        model_json: Topology and list of weights.
        weights: All weight files, one after the other.

    Raises:
        TfjsFormatError: The model is none, or uses something unknown.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    try:
        model = json.loads(model_json)
        nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        signature = model["signature"]
        constants = dict(_read_weights(model["weightsManifest"], weights))
    except (KeyError, TypeError, ValueError) as error:
        raise TfjsFormatError(f"not a TensorFlow.js graph model ({error})") from error
    inputs = {
        _reference(entry["name"]): [int(one["size"]) for one in entry["tensorShape"]["dim"]]
        for entry in signature["inputs"].values()
    }
    outputs = sorted(_reference(entry["name"]) for entry in signature["outputs"].values())
    graph = _Graph(helper.make_node, constants)
    for name in _in_order(nodes, outputs):
        graph.add(nodes[name])

    used = {name for node in graph.nodes for name in node.input}
    proto = helper.make_graph(
        graph.nodes,
        "tfjs",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items() if name in used],
    )
    converted = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="media_assets"
    )
    converted = onnx.shape_inference.infer_shapes(converted)
    onnx.checker.check_model(converted)
    return bytes(converted.SerializeToString())


def _read_weights(manifest: Sequence[Mapping[str, Any]], content: bytes) -> Iterator[tuple[str, Array]]:
    """Yield name and value of each weight; halves become floats."""
    position = 0
    for weight in (weight for group in manifest for weight in group["weights"]):
        quantization = weight.get("quantization", {})
        if "scale" in quantization:
            raise TfjsFormatError("weights that are quantized to integers are not known")
        stored = np.dtype(_WEIGHT_TYPES[quantization.get("dtype", weight["dtype"])])
        count = math.prod(weight["shape"])
        values = np.frombuffer(content, stored, count, position)
        position += values.nbytes
        yield weight["name"], values.astype(_WEIGHT_TYPES[weight["dtype"]]).reshape(weight["shape"])
    if position != len(content):
        raise TfjsFormatError(f"{len(content)} bytes of weights, {position} expected")


def _reference(name: str) -> str:
    """Return the name of a tensor; the first output of a node has the name of the node."""
    return name.removesuffix(":0")


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]


def _in_order(nodes: Mapping[str, Node], outputs: Sequence[str]) -> Iterator[str]:
    """Yield the nodes that outputs need, each after those that it needs."""
    done: set[str] = set()
    open_: list[tuple[str, bool]] = [(_node_of(name), False) for name in reversed(outputs)]
    while open_:
        name, is_ready = open_.pop()
        if name in done:
            continue
        if is_ready:
            done.add(name)
            yield name
            continue
        if name not in nodes:
            raise TfjsFormatError(f"the graph has no node {name}")
        open_.append((name, True))
        open_ += [(_node_of(_reference(one)), False) for one in nodes[name].get("input", []) if _node_of(one) != name]


def _text(attribute: Mapping[str, str]) -> str:
    return base64.b64decode(attribute["s"]).decode("ascii")


def _integers(attribute: Mapping[str, Any]) -> list[int]:
    return [int(value) for value in attribute["list"].get("i", [])]


def _flag(node: Node, name: str) -> bool:
    return bool(node.get("attr", {}).get(name, {}).get("b", False))


class _Graph:
    """An ONNX graph that grows node by node."""

    def __init__(self, make_node: Callable[..., Any], constants: dict[str, Array]) -> None:
        self.nodes: list[Any] = []
        self.constants = constants
        self._make_node = make_node
        self._count = 0
        self._emitters: dict[str, Callable[[Node, list[str]], None]] = {
            "Const": self._const,
            "Placeholder": lambda node, inputs: None,
            "Conv2D": self._convolution,
            "MaxPool": self._max_pool,
            "LeakyRelu": self._leaky_relu,
            "Transpose": self._transpose,
            "Reshape": self._reshape,
            "ConcatV2": self._concatenate,
            "SplitV": self._split,
            "Pad": self._pad,
            "PadV2": self._pad,
            "ResizeBilinear": self._resize,
            "SparseToDense": self._sparse_to_dense,
            **dict.fromkeys(_SAME, self._same),
        }

    def add(self, node: Node) -> None:
        """Add what a node of the graph model does.

        Raises:
            TfjsFormatError: Its operation is not known.
        """
        inputs = [_reference(name) for name in node.get("input", []) if not name.startswith("^")]
        if node["op"] not in self._emitters:
            raise TfjsFormatError(f"operation {node['op']} is not known")
        if node["op"] == "AddV2" and all(name in self.constants for name in inputs):  # shapes, as for Reshape
            self.constants[node["name"]] = self.constants[inputs[0]] + self.constants[inputs[1]]
            return
        self._emitters[node["op"]](node, inputs)

    def _name(self) -> str:
        self._count += 1
        return f"onnx_{self._count}"

    def _emit(self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        output = output or self._name()
        self.nodes.append(self._make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, value: Array) -> str:
        name = self._name()
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def _value(self, tensor: str) -> Array:
        if tensor not in self.constants:
            raise TfjsFormatError(f"{tensor} is not constant")
        return self.constants[tensor]

    def _numbers(self, tensor: str) -> list[int]:
        return [int(value) for value in self._value(tensor).reshape(-1)]

    def _same(self, node: Node, inputs: list[str]) -> None:
        self._emit(_SAME[node["op"]], inputs, node["name"])

    def _const(self, node: Node, _: list[str]) -> None:
        self._value(node["name"])

    def _window(self, node: Node) -> dict[str, Any]:
        """Return strides and padding of a convolution or of pooling."""
        attributes = node["attr"]
        padding = _text(attributes["padding"])
        if padding not in ("SAME", "VALID") or _text(attributes["data_format"]) != "NHWC":
            raise TfjsFormatError(f"{node['name']}: padding {padding} or layout is not known")
        return {
            "strides": _integers(attributes["strides"])[1:3],
            "auto_pad": "SAME_UPPER" if padding == "SAME" else "VALID",
        }

    def _convolution(self, node: Node, inputs: list[str]) -> None:
        kernel = self._value(inputs[1]).transpose(3, 2, 0, 1)  # to output, input, height, width
        filtered = self._emit(
            "Conv",
            [self._emit("Transpose", [inputs[0]], perm=_TO_CHANNELS_FIRST), self._constant(kernel)],
            dilations=_integers(node["attr"]["dilations"])[1:3],
            kernel_shape=list(kernel.shape[2:]),
            **self._window(node),
        )
        self._emit("Transpose", [filtered], node["name"], perm=_TO_CHANNELS_LAST)

    def _max_pool(self, node: Node, inputs: list[str]) -> None:
        pooled = self._emit(
            "MaxPool",
            [self._emit("Transpose", [inputs[0]], perm=_TO_CHANNELS_FIRST)],
            kernel_shape=_integers(node["attr"]["ksize"])[1:3],
            **self._window(node),
        )
        self._emit("Transpose", [pooled], node["name"], perm=_TO_CHANNELS_LAST)

    def _leaky_relu(self, node: Node, inputs: list[str]) -> None:
        self._emit("LeakyRelu", inputs, node["name"], alpha=float(node["attr"]["alpha"]["f"]))

    def _transpose(self, node: Node, inputs: list[str]) -> None:
        self._emit("Transpose", [inputs[0]], node["name"], perm=self._numbers(inputs[1]))

    def _reshape(self, node: Node, inputs: list[str]) -> None:
        shape = self._constant(self._value(inputs[1]).astype(np.int64))
        self._emit("Reshape", [inputs[0], shape], node["name"])

    def _concatenate(self, node: Node, inputs: list[str]) -> None:
        self._emit("Concat", inputs[:-1], node["name"], axis=self._numbers(inputs[-1])[0])

    def _split(self, node: Node, inputs: list[str]) -> None:
        sizes, axis = self._numbers(inputs[1]), self._numbers(inputs[2])[0]
        if len(sizes) == 1:  # converters split kernels into groups, also into one
            if inputs[0] in self.constants:
                self.constants[node["name"]] = self.constants[inputs[0]]
            else:
                self._emit("Identity", [inputs[0]], node["name"])
            return
        names = [node["name"], *(f"{node['name']}:{index}" for index in range(1, len(sizes)))]
        lengths = self._constant(np.array(sizes, np.int64))
        self.nodes.append(self._make_node("Split", [inputs[0], lengths], names, axis=axis))

    def _pad(self, node: Node, inputs: list[str]) -> None:
        widths = self._value(inputs[1]).astype(np.int64).T.reshape(-1)  # all beginnings, then all ends
        self._emit("Pad", [inputs[0], self._constant(widths), *inputs[2:3]], node["name"])

    def _resize(self, node: Node, inputs: list[str]) -> None:
        if not _flag(node, "half_pixel_centers") or _flag(node, "align_corners"):
            raise TfjsFormatError(f"{node['name']}: only half-pixel centres are known")
        source = self._emit("Transpose", [inputs[0]], perm=_TO_CHANNELS_FIRST)
        shape = self._emit("Shape", [source], end=2)  # of pictures and channels
        size = self._constant(np.array(self._numbers(inputs[1]), np.int64))
        sizes = self._emit("Concat", [shape, size], axis=0)
        resized = self._emit(
            "Resize", [source, "", "", sizes], mode="linear", coordinate_transformation_mode="half_pixel"
        )
        self._emit("Transpose", [resized], node["name"], perm=_TO_CHANNELS_LAST)

    def _sparse_to_dense(self, node: Node, inputs: list[str]) -> None:
        places, shape, values, rest = (self._value(name) for name in inputs)
        dense = np.full([int(side) for side in shape.reshape(-1)], rest.reshape(-1)[0])
        dense[tuple(places.reshape(-1, dense.ndim).T)] = values
        self.constants[node["name"]] = dense
