"""ONNX operator sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trt_mogface.errors import ModelError, first_line

if TYPE_CHECKING:
    import onnx

EXPORTED = 17
"""Operator set of exported models."""

OWN_DOMAINS = ("", "ai.onnx")


def raised(model: onnx.ModelProto, version: int, purpose: str) -> onnx.ModelProto:
    """Return the model in an operator set of at least `version`, unchanged if it is in one already.

    Args:
        model: Model with ONNX's own operators.
        version: Operator set.
        purpose: What needs it, for the message.

    Raises:
        ModelError: If the model cannot be converted.
    """
    from onnx import version_converter

    have = next(entry.version for entry in model.opset_import if entry.domain in OWN_DOMAINS)
    if have >= version:
        return model
    try:
        return version_converter.convert_version(model, version)
    except Exception as error:  # the converter raises whatever its C++ code throws
        raise ModelError(
            f"opset {have} cannot be raised to the {version} that {purpose} needs: {first_line(error)}"
        ) from error
