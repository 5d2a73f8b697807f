"""Accuracy: average precision on annotated images, and the comparison of two detectors."""
