"""Engines of TensorRT and TensorRT-RTX: built, checked against the request, and refitted."""
