"""Families of detectors; each module here lists its named models as ``RECIPES`` (see `registry`)."""
