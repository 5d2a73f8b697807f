"""Calibration: the magnitudes that the activations of a network reach on real images.

`images` streams network inputs, `ranges` keeps their statistics, `record` stores the result as a file.
"""
