"""MogFace, ResNet-101, as ModelScope publishes it."""
