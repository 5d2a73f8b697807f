"""From an ONNX file to a TensorRT plan; `trt_mogface.tensorrt` holds what differs between its flavours."""
