"""Backends: what runs a model, on a CPU or a GPU, behind one interface."""
