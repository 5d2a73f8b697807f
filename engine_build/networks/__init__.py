"""Torch networks that several families share."""
