"""Roofline: the least time of a network on a machine, layer by layer, and the share that is reached.

Start with `roofline`: a contract file under the `Ceilings` of `measure_cpu`, `measure_gpu` or `card`, with
the times of `cpu_times` if measured.  Its text is one line, `rows` is a table and `draw` a figure.
"""

from __future__ import annotations

from engine_build.workload.layers import Layer, layers_of
from trt_mogface.bench.roofline.bound import Roofline, roofline
from trt_mogface.bench.roofline.cards import CARDS, card
from trt_mogface.bench.roofline.ceilings import Ceilings
from trt_mogface.bench.roofline.chart import HEAD, draw, rows
from trt_mogface.bench.roofline.cpu_ceilings import measure_cpu
from trt_mogface.bench.roofline.gpu_ceilings import measure_gpu
from trt_mogface.bench.roofline.measured import Times, cpu_times

__all__ = ["CARDS", "HEAD", "Ceilings", "Layer", "Roofline", "Times"]
__all__ += ["card", "cpu_times", "draw", "layers_of", "measure_cpu", "measure_gpu", "roofline", "rows"]
