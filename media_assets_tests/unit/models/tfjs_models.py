"""Small TensorFlow.js graph models, written node by node."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


def text(value: str) -> dict[str, str]:
    """An attribute that is a text."""
    return {"s": base64.b64encode(value.encode()).decode()}


def integers(*values: int) -> dict[str, Any]:
    """An attribute that is a list of integers."""
    return {"list": {"i": [str(value) for value in values]}}


def node(op: str, name: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    """A node of a graph."""
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def graph_model(
    nodes: Sequence[Mapping[str, Any]],
    weights: Mapping[str, Values],
    input_shape: Sequence[int],
    outputs: Sequence[str],
    halves: Sequence[str] = (),
) -> tuple[bytes, bytes]:
    """Return ``model.json`` and the weights of a model with the input ``x``; ``halves`` are stored as float16."""

    def entry(name: str, values: Values) -> dict[str, Any]:
        entry = {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)}
        return entry | ({"quantization": {"dtype": "float16"}} if name in halves else {})

    model = {
        "signature": {
            "inputs": {"x": {"name": "x:0", "tensorShape": {"dim": [{"size": str(side)} for side in input_shape]}}},
            "outputs": {name: {"name": f"{name}:0"} for name in outputs},
        },
        "modelTopology": {
            "node": [node("Placeholder", "x"), *(node("Const", name) for name in weights), *nodes],
        },
        "weightsManifest": [{"paths": ["w.bin"], "weights": [entry(name, values) for name, values in weights.items()]}],
    }
    stored = [values.astype(np.float16) if name in halves else values for name, values in weights.items()]
    return json.dumps(model).encode(), b"".join(values.tobytes() for values in stored)
