"""Sinks: where the items of an analysis are written."""
