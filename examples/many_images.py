"""Find the faces of many images in batches: ``python examples/many_images.py photos/``."""

from __future__ import annotations

import sys
from pathlib import Path

from trt_mogface import Runner, read_image


def main(folder: str) -> None:
    """Read a folder lazily and print the faces of each image in order."""
    paths = sorted(Path(folder).glob("*.jpg"))
    with Runner(size=(640, 640), batch=4, max_delay_ms=50, measure=True) as runner:
        for path, faces in zip(paths, runner.map(read_image(path) for path in paths)):
            print(f"{path.name}: {len(faces)} faces")
        stats = runner.stats()
    print(f"{stats.frames} images in {stats.batches} batches")
    for name, stage in stats.stages.items():
        print(f"{name}: median {stage.median:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
