"""This machine: its GPU, TensorRT, installed packages and sensors."""
