"""Contract ONNX files: reading, writing and rewriting their graphs."""
