"""Detectors by name: each becomes a contract model."""
