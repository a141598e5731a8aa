"""How ONNX models are run: one session from bytes, sized for a worker process with one thread.

Lives here: the settings of onnxruntime. Must not: read files (``model_files``) or know any model.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3  # severity: exports of old converters cause hundreds of harmless warnings


def open_session(model: bytes, *, has_fixed_input: bool = False) -> "onnxruntime.InferenceSession":
    """Open a model for inference on the processor, one thread.

    Processes run side by side, one for each core: with two threads each, every one of them was half as fast on a busy
    machine.

    Args:
        model: Contents of an ONNX file, checked by the caller.
        has_fixed_input: Every input has the same size. Memory for intermediate results is then kept from run to run,
            which takes least (YOLOX-nano: 155 MB in all instead of 223). Otherwise it is given back after each run
            instead of staying at what the largest picture ever needed.

    Raises:
        Exception: Whatever onnxruntime raises on bytes that are no model; ``load_model`` puts it into words.
    """
    import onnxruntime

    _silence()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    options.enable_cpu_mem_arena = has_fixed_input
    return onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])


@cache
def _silence() -> None:
    """Keep warnings of the runtime itself, which no session option reaches, off the standard error of workers."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
