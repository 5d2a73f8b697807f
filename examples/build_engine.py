"""Build an FP16 engine of the default model: ``python examples/build_engine.py engines/``.

No GPU is needed to build with TensorRT-RTX.  Needs ``pip install '.[engines,rtx]'``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine_build.build import EngineBuild
from engine_build.lowering import Lowering, LoweringOptions
from engine_build.tensorrt.builder import BuilderOptions
from engine_build.tensorrt.profiles import parse_profiles
from trt_mogface.machine.gpu import find_gpu
from trt_mogface.machine.tensorrt import find_tensorrt
from trt_mogface.models.cards import DEFAULT
from trt_mogface.models.files import contract_file


def main(folder: str) -> None:
    """Lower the model to FP16, compare it with FP32, and build."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    lowering = Lowering(LoweringOptions(contract_file(DEFAULT, for_cpu=False)))
    options = BuilderOptions(profiles=parse_profiles(["1x320x320:1x640x640:8x640x640"]))
    outcome = EngineBuild(lowering, options, find_tensorrt(), find_gpu()).engine("fp16", Path(folder))
    print(f"{outcome.engine}: {outcome.manifest.plan_bytes / 1e6:.1f} MB, {outcome.manifest.accuracy}")


if __name__ == "__main__":
    main(*sys.argv[1:])
