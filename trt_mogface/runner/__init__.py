"""`Runner`: pictures in, faces out, the network never waiting."""

from trt_mogface.runner.runner import Runner
from trt_mogface.runner.stats import Stage, Stats

__all__ = ["Runner", "Stage", "Stats"]
