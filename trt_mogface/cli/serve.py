"""``trt-mogface serve``: serve a model over HTTP, with a page for photos and the camera."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from trt_mogface._optional import needs
from trt_mogface.backends.registry import open_backend
from trt_mogface.cli import options, output
from trt_mogface.cli.groups import with_groups
from trt_mogface.cli.options import Panel, in_hardware
from trt_mogface.cli.quantities import parse_count, parse_seconds
from trt_mogface.models.cards import DEFAULT
from trt_mogface.runner import Runner

in_service = Panel("Service")
in_limits = Panel("Limits")

SLOTS = 2
BATCH = 8
"""Largest batch, unless an engine's is smaller."""

UNANSWERED = 1
"""Exit status if accepted requests were not answered."""

DECODERS_HELP = "Threads that decode images."
NETWORK_HELP = "CPU threads of the network."
BATCH_HELP = "Largest batch; that of an engine, if it is smaller."
DELAY_HELP = "Milliseconds that the first image of a batch waits for others."


@with_groups
def serve(
    *,
    model: options.Model = DEFAULT,
    weights: options.Weights = None,
    min_face: options.MinFace = None,
    detection: options.DetectionGroup,
    host: Annotated[str, in_service("ADDRESS", "Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, in_service("N", "Port to listen on; 0 chooses a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None, in_service("FILE", "API keys, a line each, one of which every request needs.")
    ] = None,
    max_bytes: Annotated[str, in_limits("N", "Largest body of a request in bytes.")] = "20M",
    max_pixels: Annotated[str, in_limits("N", "Largest image in pixels.")] = "50M",
    queue: Annotated[int, in_limits("N", "Largest number of images in the service.")] = 256,
    per_client: Annotated[int, in_limits("N", "Largest number of images of one client.")] = 32,
    timeout: Annotated[str, in_limits("TIME", "Longest time from the whole body to the answer.")] = "5s",
    drain: Annotated[str, in_limits("TIME", "Longest time for the accepted requests after SIGTERM.")] = "30s",
    batch: Annotated[int, in_hardware("N", BATCH_HELP, min=1)] = BATCH,
    max_delay_ms: Annotated[float, in_hardware("MS", DELAY_HELP, min=0)] = 0.0,
    threads: Annotated[int | None, in_hardware("N", DECODERS_HELP, min=1, show_default="all cores")] = None,
    network_threads: Annotated[
        int | None, in_hardware("N", NETWORK_HELP, min=1, show_default="all cores")
    ] = None,
    device: options.Device = None,
    providers: options.Providers = None,
) -> int:
    """Serve a model over HTTP, with a page for photos and the camera.

    The service ends on SIGTERM, SIGINT or SIGHUP, after it has answered the accepted requests (exit status 1
    if it could not).
    """
    with needs("serve"):
        from trt_mogface.serving.http import Service, ServiceOptions, bind
        from trt_mogface.serving.http import serve as run
        from trt_mogface.serving.http.keys import read_keys

    limits = ServiceOptions(
        max_bytes=parse_count("max_bytes", max_bytes),
        max_pixels=parse_count("max_pixels", max_pixels),
        queue=queue,
        timeout=parse_seconds("timeout", timeout),
        per_client=per_client,
        drain=parse_seconds("drain", drain),
        threads=threads,
        keys=() if api_key_file is None else read_keys(api_key_file),
    )
    arguments: dict[str, Any] = {"weights": weights, "min_face": min_face, "threads": network_threads}
    arguments |= {"providers": options.parse_providers(providers), **detection.arguments()}
    with (
        bind(host, port) as listening,
        closing(open_backend(model, device=device, slots=SLOTS, **arguments)) as backend,
    ):
        batch = min(batch, backend.max_batch)
        runner = Runner(backend, batch=batch, slots=SLOTS, max_delay_ms=max_delay_ms)
        service = Service(runner, limits, at_once=2 * SLOTS * batch)
        address, number = listening.getsockname()[:2]
        place = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
        try:
            ready = f"trt-mogface: {backend.info.name} at http://{place}/"
            unanswered = run(service, listening, lambda _: output.say(ready))
        finally:
            runner.close(cancel=True)
            service.close()
    if unanswered:
        output.say(f"trt-mogface: {unanswered} accepted requests were not answered in {limits.drain:g} s")
    return UNANSWERED if unanswered else 0
