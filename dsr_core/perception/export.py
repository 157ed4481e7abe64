"""Networks as ONNX files, for ONNX Runtime and TensorRT. Shapes are fixed to those of the example.

The exporter of transformers traces what PyTorch's own cannot (GroundingDINO's decoder), so it serves the models of
transformers; other modules go through PyTorch's. Of SAM 2 and SAM 3, whose memory is no single graph, the image encoder
is exported, which takes most of the time: `model.vision_encoder`, `model.detector_model.vision_encoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsr_core.errors import DependencyError, ModelError
from dsr_core.perception import networks

OPSET = 18


def export_onnx(module, inputs: dict, path: str | Path, outputs: Sequence[str] = ()) -> Path:
    """Writes a network as an ONNX file, with its weights beside it in `<path>.data`.

    Args:
        module: A torch module, in evaluation mode.
        inputs: Name -> example tensor, by the names of the arguments of its `forward`. In the file, an input that
            shares its name with an output is called "input.<name>".
        path: The file.
        outputs: Names of the outputs, of a module that is none of transformers'; () leaves them to the exporter.

    Returns:
        `path`.

    Raises:
        DependencyError: onnx or onnxscript is missing.
        ModelError: the network cannot be exported.
    """
    torch, transformers = networks.import_torch(), networks.import_transformers()
    try:
        import onnx_ir
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DependencyError(f"networks are exported by onnxscript ({error}): pip install onnx onnxscript") from error
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if isinstance(module, transformers.PreTrainedModel):
            from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

            graph = OnnxExporter().export(module, inputs, OnnxConfig(opset_version=OPSET)).program
        else:
            settings = {"dynamo": True, "opset_version": OPSET, "verbose": False, "output_names": list(outputs) or None}
            graph = torch.onnx.export(module, kwargs=inputs, **settings).model
    except Exception as error:  # the exporters raise whatever their stages raise
        raise ModelError(f"{type(module).__name__} cannot be exported to ONNX: {error}") from error
    onnx_ir.save(graph, str(path), external_data=f"{path.name}.data")
    return path
