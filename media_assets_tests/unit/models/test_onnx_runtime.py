"""Sessions of onnxruntime: one thread, quiet, and whatever is wrong with the bytes is an error."""

import numpy as np
import pytest

from media_assets.models.onnx_runtime import open_session
from media_assets.models.tfjs_graph import convert
from media_assets_tests.unit.models.tfjs_models import graph_model, node

MODEL = convert(*graph_model([node("Add", "y", "x", "b")], {"b": np.array([5], np.float32)}, (1, 4), ["y"]))


@pytest.mark.parametrize("has_fixed_input", [False, True])
def test_a_session_takes_one_thread(has_fixed_input: bool) -> None:
    session = open_session(MODEL, has_fixed_input=has_fixed_input)
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.enable_cpu_mem_arena is has_fixed_input
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.run(None, {"x": np.ones((1, 4), np.float32)})[0].tolist() == [[6, 6, 6, 6]]


@pytest.mark.parametrize("content", [b"", b"no model", MODEL[: len(MODEL) // 2]])
def test_bytes_that_are_no_model(content: bytes) -> None:
    with pytest.raises(Exception, match=r"(?i)model|protobuf|graph"):
        open_session(content)
