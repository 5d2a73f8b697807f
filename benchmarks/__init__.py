"""Measurements behind this project's claims, and their recorded results."""
