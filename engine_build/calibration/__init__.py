"""Calibration: which magnitudes the activations of a network reach on real pictures.

`pictures` streams network inputs, `ranges` keeps their statistics, `record` is what is found, as a file.
"""
