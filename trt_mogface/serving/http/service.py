"""`Service`: the application, with its routes."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import cv2
import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trt_mogface import __version__
from trt_mogface._printable import printable
from trt_mogface.errors import (
    FAILURES_OF_AN_IMAGE,
    ImageError,
    ImageTooLargeError,
    MogFaceError,
    RunnerError,
    reason_of,
)
from trt_mogface.reporting.drawing import LONGEST_SIDE, draw
from trt_mogface.runner import Runner
from trt_mogface.serving.http import openapi
from trt_mogface.serving.http.accept import prefers_jpeg
from trt_mogface.serving.http.admission import Admission, Pace
from trt_mogface.serving.http.bodies import Gone, boundary_of, check_length, read_body, split
from trt_mogface.serving.http.guard import LEFT, Guard
from trt_mogface.serving.http.keys import Keys
from trt_mogface.serving.http.metrics import CONTENT_TYPE, Metrics
from trt_mogface.serving.http.options import ServiceOptions
from trt_mogface.serving.http.page import PAGE
from trt_mogface.serving.http.pipeline import Found, Pipeline
from trt_mogface.serving.http.refusal import Refusal, of_status
from trt_mogface.spec import Thresholds

WARM_UP = (480, 640)
"""Height and width of the first image, which no client sent."""

JPEG = ".jpg"

DETECT = "/v1/detect"


class Endpoint:
    """ASGI application of one function.

    Args:
        function: Function from a request to its answer.
    """

    def __init__(self, function: Callable[[Request], Awaitable[Response]]) -> None:
        self._function = function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.  See the ASGI specification."""
        response = await self._function(Request(scope, receive))
        await response(scope, receive, send)


class Service:
    """HTTP service of one runner.

    Args:
        runner: The runner, which stays the caller's.
        options: Limits.
        at_once: Number of images that the runner holds: its slots and its queue.

    Attributes:
        app: ASGI application.
        admission: Door of the service, with its phase.
    """

    def __init__(self, runner: Runner, options: ServiceOptions, at_once: int = 1) -> None:
        self.options, self._runner = options, runner
        pace = Pace()
        self.admission = Admission(options, at_once, pace)
        self._metrics = Metrics(self.admission)
        self._pipeline = Pipeline(runner, options.decoders, options.max_pixels, pace)
        self.app = Guard(self._routes(), Keys(options.keys), self._metrics)

    async def warm_up(self) -> None:
        """Run an image without a client, then accept requests.

        Raises:
            MogFaceError: If the network fails.
        """
        image = np.zeros((*WARM_UP, 3), np.uint8)
        await asyncio.wrap_future(self._runner.submit(image))
        if self.admission.phase == "starting":
            self.admission.phase = "ready"

    def close(self) -> None:
        """Cancel what waits; close the runner first."""
        self._pipeline.close()

    def _routes(self) -> FastAPI:
        app = FastAPI(
            title="trt-mogface",
            description="Face detection.",
            version=__version__,
            docs_url=None,
            redoc_url=None,
            telemetry={
                "tracing": False,
                "metrics": False,
                "logs": False,
            },  # it looks for them at each request
        )
        app.add_exception_handler(Refusal, self._refuse)
        app.add_exception_handler(HTTPException, self._refuse_route)
        app.add_exception_handler(Exception, self._refuse_failure)
        statuses = (400, 401, 406, 408, 413, 415, 422, 429, 431, 500, 503, 504)
        app.post(
            DETECT,
            summary="Find the faces in one image or several",
            responses={200: openapi.DETECTED, **openapi.refusals(*statuses)},
            openapi_extra=openapi.QUESTION,
            operation_id="detect",
        )(self._detect)
        # That route is for the document.  This one is found first, and saves FastAPI's work on a request.
        app.router.routes.insert(0, Route(DETECT, Endpoint(self._detect), methods=["POST"]))
        app.get(
            "/v1/models",
            summary="List the models",
            response_model=openapi.Models,
            responses=openapi.refusals(400, 401, 431),
            operation_id="models",
        )(self._models)
        for path, function, text in (
            ("/healthz", self._health, "Tell whether the process can work at all"),
            ("/readyz", self._ready, "Tell whether the service accepts requests"),
        ):
            app.get(
                path,
                summary=text,
                response_model=openapi.State,
                responses=openapi.refusals(400, 431, 503),
                operation_id=path[1:],
            )(function)
        app.get(
            "/metrics",
            summary="Metrics in Prometheus' text format",
            response_class=Response,
            responses={200: {"content": {"text/plain": {}}}, **openapi.refusals(400, 401, 431)},
            operation_id="metrics",
        )(self._exposition)
        app.get("/", include_in_schema=False)(self._page)
        return app

    async def _detect(self, request: Request) -> Response:
        started = time.monotonic()
        query = _query(request)
        thresholds = self._thresholds(query)
        boundary = boundary_of(request.headers)
        check_length(request.headers, self.options)
        wants_jpeg = prefers_jpeg(request.headers.get("accept", ""))
        with self.admission.visit(request.state.client) as visit:
            try:
                body = await read_body(request.receive, self.options, visit.add_bytes)
            except Gone:
                return Response(status_code=LEFT)  # nobody reads it
            self._metrics.stages["body"].observe(time.monotonic() - started)
            uploads = split(body, boundary, self.options.per_client)
            if wants_jpeg and len(uploads) > 1:
                raise of_status(406)
            visit.add_images(len(uploads) - 1)
            del body
            found = await self._answer(
                request, self._pipeline.start(uploads, thresholds, keep_images=wants_jpeg)
            )
            if found is None:
                return Response(status_code=LEFT)
            for each in found:
                self._metrics.found(each)
            found = [_limited(each, query) for each in found]
            response = await self._drawn(found[0]) if wants_jpeg else self._listed(found)
        self._metrics.stages["total"].observe(time.monotonic() - started)
        return response

    async def _answer(self, request: Request, answers: Sequence[asyncio.Future[Found]]) -> list[Found] | None:
        """Wait for images; return None if the client leaves, with whom they are cancelled.

        Raises:
            Refusal: If one of them fails, or they take too long.
        """
        leaving = asyncio.ensure_future(request.receive())
        waiting: set[asyncio.Future[Any]] = {leaving, *answers}
        deadline = time.monotonic() + self.options.timeout
        try:
            while len(waiting) > 1:
                left = deadline - time.monotonic()
                done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    problem = f"no answer within {self.options.timeout:g} s"
                    raise Refusal(504, "timeout", f"{problem}; try again later, or send a smaller image")
                if leaving in done:
                    return None
                for answer in done:
                    answer.result()  # raises if it failed
            return [answer.result() for answer in answers]
        except (MogFaceError, MemoryError) as error:
            raise self._failure(error) from error
        finally:
            every: list[asyncio.Future[Any]] = [leaving, *answers]
            for each in every:
                if not each.cancel() and not each.cancelled():
                    each.exception()  # or the event loop would log that nobody looked at it

    def _failure(self, error: BaseException) -> Refusal:
        """Return the answer to an image that failed."""
        if isinstance(error, ImageTooLargeError):
            return Refusal(413, "too_large", str(error))
        if isinstance(error, ImageError):
            return Refusal(422, "not_usable", str(error))
        if isinstance(error, FAILURES_OF_AN_IMAGE):
            return Refusal(413, "too_large", f"image: {reason_of(error, 'image')}")
        if isinstance(error, RunnerError) or (isinstance(error, MogFaceError) and error.is_fatal):
            if self.admission.phase != "draining":
                self.admission.phase = "broken"
            return Refusal(503, "broken", str(error))
        return Refusal(500, "failed", str(error))

    def _thresholds(self, query: openapi.Query) -> Thresholds | None:
        """Return thresholds for the runner; None if its own find the faces.

        Raises:
            Refusal: If the model has only those that it was opened with, and they leave out faces that the
                query wants.
        """
        if query is openapi.OWN:
            return None
        own = self._runner.thresholds
        names = {"conf": "score_threshold", "iou": "iou_threshold", "max_det": "max_detections"}
        given = {names[name]: value for name, value in query if value is not None}
        wanted = dataclasses.replace(own, **given)
        if wanted == own:
            return None
        if self._runner.adjustable:
            return wanted
        if (
            wanted.iou_threshold != own.iou_threshold
            or wanted.score_threshold < own.score_threshold
            or wanted.max_detections > own.max_detections
        ):
            limits = f"conf must be at least {own.score_threshold:g}, max_det at most {own.max_detections}"
            raise Refusal(
                422,
                "not_adjustable",
                f"query: {limits} and iou {own.iou_threshold:g}, as the service was started; change these",
            )
        return None

    async def _drawn(self, found: Found) -> Response:
        data = await self._pipeline.run_in_thread(partial(_drawing, found))
        return Response(data, headers=_course([found]), media_type="image/jpeg")

    def _listed(self, found: Sequence[Found]) -> Response:
        images = [{"name": each.name, **each.faces.to_dict()} for each in found]
        body = msgspec.json.encode({"model": self._runner.info.name, "images": images})
        return Response(body, headers=_course(found), media_type="application/json")

    async def _models(self) -> openapi.Models:
        info, own = self._runner.info, self._runner.thresholds
        return openapi.Models(
            models=[
                openapi.Model(
                    name=info.name,
                    landmarks=info.landmarks,
                    thresholds=openapi.Thresholds(
                        conf=own.score_threshold, iou=own.iou_threshold, max_det=own.max_detections
                    ),
                    adjustable=self._runner.adjustable,
                    source=info.origin.source,
                    license=info.origin.license,
                )
            ]
        )

    async def _health(self) -> openapi.State:
        if self.admission.phase == "broken":
            raise Refusal(503, "broken", "the service is broken by an earlier failure; start it again")
        return openapi.State(status="alive")

    async def _ready(self) -> openapi.State:
        self.admission.check_ready()
        return openapi.State(status="ready")

    async def _exposition(self) -> Response:
        return Response(self._metrics.text(self._runner.stats()), media_type=CONTENT_TYPE)

    async def _page(self) -> Response:
        return Response(PAGE, media_type="text/html; charset=utf-8")

    async def _refuse(self, _: Request, refusal: Any) -> Response:
        self._metrics.refused(refusal.code)
        response: Response = refusal.response()
        return response

    async def _refuse_route(self, request: Request, error: Any) -> Response:
        return await self._refuse(request, of_status(error.status_code, error.headers))

    async def _refuse_failure(self, request: Request, error: Exception) -> Response:
        refusal = Refusal(500, "failed", f"the service failed ({type(error).__name__}); its log has more")
        return await self._refuse(request, refusal)


def _query(request: Request) -> openapi.Query:
    """Return the options of a request.

    Raises:
        Refusal: If one is unknown or impossible.
    """
    if not request.scope["query_string"]:
        return openapi.OWN
    try:
        return openapi.Query.model_validate(dict(request.query_params))
    except ValidationError as error:
        first = error.errors()[0]
        name = printable(".".join(map(str, first["loc"])))[:80]
        raise Refusal(422, "bad_option", f"{name}: {first['msg']}; see /openapi.json") from error


def _limited(found: Found, query: openapi.Query) -> Found:
    """Return the faces that a query wants, of a model with thresholds of its own; else they are already."""
    faces = found.faces
    if query.conf is not None:
        faces = faces[faces.confidence > query.conf] if (faces.confidence <= query.conf).any() else faces
    if query.max_det is not None and len(faces) > query.max_det:
        faces = faces[: query.max_det]
    return found if faces is found.faces else dataclasses.replace(found, faces=faces)


def _course(found: Sequence[Found]) -> dict[str, str]:
    """Return the headers with the course of each image."""
    return {
        "X-Decode-Ms": ", ".join(f"{each.decode_ms:.2f}" for each in found),
        "X-Queue-Ms": ", ".join(f"{each.queue_ms:.2f}" for each in found),
        "X-Network-Ms": ", ".join(f"{each.network_ms:.2f}" for each in found),
        "X-Batch-Size": ", ".join(str(each.batch) for each in found),
    }


def _drawing(found: Found) -> bytes:
    """Return the image with the faces drawn on it, as JPEG."""
    if found.image is None:
        raise ValueError("the image was not kept")
    if max(found.image.shape) > LONGEST_SIDE[JPEG]:
        raise Refusal(422, "not_drawable", f"image: longer than {LONGEST_SIDE[JPEG]} pixels; request JSON")
    faces = found.faces
    drawn = draw(found.image, faces.clip().xyxy, faces.confidence, faces.landmarks)
    return cv2.imencode(JPEG, drawn)[1].tobytes()
