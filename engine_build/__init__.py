"""The offline half: a checkpoint or somebody's ONNX file in, a contract ONNX file out."""
