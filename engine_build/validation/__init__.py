"""Accuracy of a precision: agreement with FP32, AP on annotated faces, and sensitivity of layers."""
