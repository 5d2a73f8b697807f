"""`Runner`: images from many threads, in batches, with the network never idle."""

from trt_mogface.runner.batching import Submitted, Timing
from trt_mogface.runner.runner import Runner
from trt_mogface.runner.stats import Stage, Stats

__all__ = ["Runner", "Stage", "Stats", "Submitted", "Timing"]
