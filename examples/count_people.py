"""Count the people in videos: ``python examples/count_people.py clip.mp4 door=rtsp://10.0.0.7/main``."""

from __future__ import annotations

import sys

from trt_mogface.video import FrameFaces, analyze


def main(*sources: str) -> None:
    """Print how long each person who has left was seen: a track of five frames or more."""
    with analyze(sources, size=(640, 384), fps=10, track=True) as analysis:
        for item in analysis:
            for track in item.ended:
                if track.faces >= 5:
                    seconds = track.last.captured - track.first.captured
                    print(f"{item.source}: person {track.id}, seen for {seconds:.1f} s")
            if not isinstance(item, FrameFaces) and item.message:
                print(f"{item.source}: {item.event}, {item.message}")


if __name__ == "__main__":
    main(*sys.argv[1:])
