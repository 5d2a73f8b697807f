"""A real Triton on loopback: equal faces, batches, limits, and a server that is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_build.triton import TritonOptions, write_model
from tests.support.photos import Photo
from tests.support.specs import one_line
from tests.support.triton_server import Triton, free_ports, triton
from trt_mogface import Detections, Detector, Runner
from trt_mogface.backends.triton.served import ServedModel, parameter
from trt_mogface.cli.app import main
from trt_mogface.errors import ArgumentError, ModelError, ServerError
from trt_mogface.models.cards import DEFAULT

grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("MOGFACE_TEST_SERVING") != "1",
        reason="runs servers; `make serving` sets MOGFACE_TEST_SERVING=1",
    ),
]

SLOW_MODEL = """
import time
from trt_mogface.serving.triton_model import TritonPythonModel as Model

class TritonPythonModel(Model):
    def execute(self, requests):
        time.sleep(0.5)
        super().execute(requests)
"""
"""A model of which requests wait."""

PLAN_MODEL = '''
import json
from pathlib import Path
import numpy as np
import triton_python_backend_utils as triton
from trt_mogface.backends.cpu import CpuBackend
from trt_mogface.reference.select import select
from trt_mogface.serving.triton_model import _tensor

class TritonPythonModel:
    """In place of an engine that ends in faces: network input in, faces in its pixels out."""

    def initialize(self, args):
        backend = CpuBackend(Path(args["model_repository"]) / args["model_version"] / "model.onnx", {})
        self.network, self.spec = backend.network, backend.network.spec

    def execute(self, requests):
        return [self.answer(triton.get_input_tensor_by_name(each, "images")) for each in requests]

    def answer(self, tensor):
        images, most = np.from_dlpack(tensor), 20
        outputs = self.network.run(images)
        n = len(images)
        counts = np.zeros((n, 1), np.int32)
        boxes, scores = np.zeros((n, most, 4), np.float32), np.zeros((n, most), np.float32)
        landmarks = np.zeros((n, most, 5, 2), np.float32)
        for row, values in enumerate(zip(*outputs)):
            found = select(*values, spec=self.spec, size=images.shape[1:3], thresholds=self.spec.thresholds)
            counts[row] = count = len(found.scores)
            boxes[row, :count], scores[row, :count] = found.boxes, found.scores
            landmarks[row, :count] = found.landmarks
        arrays = {"num_detections": counts, "boxes": boxes, "scores": scores, "landmarks": landmarks}
        return triton.InferenceResponse([_tensor(triton, name, values) for name, values in arrays.items()])
'''


def as_plan(folder: Path) -> None:
    """Turn a model into one that has the tensors and the facts of a plan."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    (folder / "1" / "model.py").write_text(PLAN_MODEL)
    with Detector(folder / "1" / "model.onnx") as detect:
        info, spec = detect.info, detect._backend.network.spec  # type: ignore[attr-defined]
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.parameters[parameter(1)].string_value = ServedModel(info, "network input", spec).to_json()
    kept = [each for each in config.output if each.name not in ("dropped", "truncated")]
    del config.output[:]
    config.output.extend(kept)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("triton")
    models = folder / "models"
    write_model(models, DEFAULT, TritonOptions(name="faces", warmup=(64, 48)))
    write_model(models, DEFAULT, TritonOptions(name="faces"))
    write_model(models, DEFAULT, TritonOptions(name="cached", cache=True))
    write_model(models, DEFAULT, TritonOptions(name="weak", detector={"conf": 0.01}))
    slow = write_model(models, DEFAULT, TritonOptions(name="slow", batch=1, queue=1, max_delay_ms=0))
    (slow.folder / "1" / "model.py").write_text(SLOW_MODEL)
    as_plan(write_model(models, DEFAULT, TritonOptions(name="plan")).folder)
    with triton(models, folder) as running:
        client = grpc.InferenceServerClient(f"127.0.0.1:{running.grpc}")
        for name in ("faces", "cached", "slow", "plan"):
            assert client.is_model_ready(name), running.log.read_text()[-3000:]
        client.close()
        yield running


def address(server: Triton, model: str, scheme: str = "triton", query: str = "") -> str:
    port = server.http if scheme == "triton+http" else server.grpc
    return f"{scheme}://127.0.0.1:{port}/{model}{query}"


def statistics(server: Triton, model: str) -> dict[str, Any]:
    client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    (found,) = client.get_inference_statistics(model, "1", as_json=True)["model_stats"]
    client.close()
    return dict(found)


def assert_equal(found: Detections, expected: Detections) -> None:
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    assert (found.landmarks is None) == (expected.landmarks is None)
    if found.landmarks is not None:
        np.testing.assert_array_equal(found.landmarks, expected.landmarks)
    assert (found.image_size, found.dropped) == (expected.image_size, expected.dropped)


@pytest.fixture(scope="module")
def images(portrait: Photo, group: Photo) -> list[Photo]:
    """Images of several sizes, two of one size, one without a face and one of one pixel."""
    empty, dot = np.zeros((40, 60, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)
    return [group, portrait, portrait[::-1].copy(), group[:, :641], empty, dot]


@pytest.mark.parametrize("scheme", ["triton", "triton+http"])
@pytest.mark.parametrize("model", ["faces", "plan"])
def test_faces_are_those_of_a_detector(scheme: str, model: str, server: Triton, images: list[Photo]) -> None:
    with Detector() as detect, Detector(address(server, model, scheme)) as served:
        expected = [detect(image) for image in images]
        assert sum(map(len, expected)) >= 8
        for found, wanted in zip(served(images), expected, strict=True):
            assert_equal(found, wanted)
        assert_equal(served(images[0]), expected[0])
        assert served.info == detect.info


def test_shared_memory_gives_the_same_and_is_freed(server: Triton, images: list[Photo]) -> None:
    def regions() -> set[str]:
        return {path.name for path in Path("/dev/shm").glob(f"trt-mogface-{os.getpid()}-*")}  # noqa: S108

    before = regions()
    with Detector(address(server, "faces")) as served:
        found = served(images[0])
        assert len(regions() - before) == 1
        assert "system" not in served.info.name
    assert regions() == before
    with Detector() as detect:
        assert_equal(found, detect(images[0]))


def test_a_client_chooses_among_the_faces(server: Triton, images: list[Photo]) -> None:
    with Detector(conf=0.999, max_det=2) as detect:
        expected = detect(images[0])
    with Detector(address(server, "faces"), conf=0.999, max_det=2) as served:
        assert_equal(served(images[0]), expected)


def test_the_plan_takes_a_size(server: Triton, images: list[Photo]) -> None:
    with Detector(size=(320, 240)) as detect, Detector(address(server, "plan"), size=(320, 240)) as served:
        for found, wanted in zip(served(images), map(detect, images), strict=True):
            assert_equal(found, wanted)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"conf": 0.1}, "conf 0.1: the server's threshold is 0.9; use at least that"),
        ({"size": (320, 240)}, "size (320, 240): is decided by the server"),
        ({"threads": 2}, "threads 2: is decided by the server"),
        ({"device": 0}, "device 0: names a GPU"),
    ],
)
def test_options_of_the_server_are_refused(options: dict[str, Any], problem: str, server: Triton) -> None:
    with pytest.raises(ArgumentError) as error:
        Detector(address(server, "faces"), **options)
    assert problem in one_line(error.value)


@pytest.mark.parametrize("model", ["nothing", "faces?version=7"])
@pytest.mark.parametrize("scheme", ["triton", "triton+http"])
def test_a_missing_model_is_refused(model: str, scheme: str, server: Triton) -> None:
    with pytest.raises(ModelError) as error:
        Detector(address(server, model, scheme))
    assert "127.0.0.1" in one_line(error.value)


def test_two_versions_answer_side_by_side(server: Triton, images: list[Photo]) -> None:
    for version in (1, 2):
        with Detector(address(server, "faces", query=f"?version={version}")) as served:
            assert len(served(images[1])) == 1


def test_requests_become_batches(server: Triton, images: list[Photo]) -> None:
    before = statistics(server, "faces")
    with Runner(address(server, "faces", query="?version=1"), slots=12) as runner:
        found = list(runner.map([images[1]] * 48))
    assert [len(faces) for faces in found] == [1] * 48
    after = statistics(server, "faces")
    count = int(after["inference_count"]) - int(before.get("inference_count", 0))
    runs = int(after["execution_count"]) - int(before.get("execution_count", 0))
    assert count == 48
    assert runs <= 24


def test_repeated_images_come_from_the_cache(server: Triton, images: list[Photo]) -> None:
    with Detector(address(server, "cached")) as served:
        first = served(images[0])
        assert_equal(served(images[0]), first)
    hits = statistics(server, "cached")["inference_stats"]["cache_hit"]["count"]
    assert int(hits) >= 1


def test_a_wrong_shape_is_refused_and_the_next_request_works(server: Triton, images: list[Photo]) -> None:
    client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    for shape in ((1, 40, 40, 4), (40, 40, 3), (9, 40, 40, 3), (1, 0, 40, 3)):
        given = grpc.InferInput("images", shape, "UINT8")
        given.set_data_from_numpy(np.zeros(shape, np.uint8))
        with pytest.raises(grpc.InferenceServerException):
            client.infer("faces", [given])
    client.close()
    with Detector(address(server, "faces")) as served:
        assert len(served(images[1])) == 1


def test_a_full_queue_rejects(server: Triton, images: list[Photo]) -> None:
    with Detector(address(server, "slow")) as served:
        clones = [served.clone() for _ in range(8)]

        with ThreadPoolExecutor(len(clones)) as pool:
            answers = [pool.submit(clone, images[1]) for clone in clones]
        errors = [error for answer in answers if (error := answer.exception()) is not None]
        assert 1 <= len(errors) <= len(answers) - 2
        for error in errors:
            assert isinstance(error, ServerError)
            assert "the server is busy, and its queue full" in one_line(error)
        for clone in clones:
            clone.close()
        assert len(served(images[1])) == 1


@pytest.mark.parametrize("scheme", ["triton", "triton+http"])
def test_a_deadline_ends_a_request(scheme: str, server: Triton, images: list[Photo]) -> None:
    started = time.monotonic()
    with Detector(address(server, "slow", scheme, "?timeout=0.2")) as served:
        with pytest.raises(ServerError, match=r"no answer within 0.2 s") as error:
            served(images[1])
        assert time.monotonic() - started < 5
        one_line(error.value)


def test_the_command_line_detects_with_a_server(
    server: Triton, photo_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for model in (DEFAULT, address(server, "faces")):
        command = ["trt-mogface", "detect", str(photo_folder), "--model", model, "--json", "-"]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_a_served_model_is_evaluated_and_measured(
    server: Triton, test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subset = test_data / "wider_val_subset"
    few = json.loads((subset / "annotations.json").read_text())[:4]
    (tmp_path / "few.json").write_text(json.dumps(few))
    about = (
        "--gt",
        str(test_data / "gt"),
        "--images",
        str(subset / "images"),
        "--subset",
        f"{tmp_path}/few.json",
    )
    results = []
    for name, model in (("here", DEFAULT), ("served", address(server, "weak"))):
        out = tmp_path / f"{name}.json"
        assert called(monkeypatch, "eval", "wider", *about, "--model", model, "--json", str(out)) in (0, 1)
        results.append({**json.loads(out.read_text())[0], "label": "", "seconds": 0})
    assert results[0] == results[1]
    bench = (
        "bench",
        "--model",
        address(server, "faces"),
        "--duration",
        "0.5",
        "--json",
        f"{tmp_path}/bench.json",
    )
    assert called(monkeypatch, *bench) == 0
    (row,) = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert (row["mode"], row["precision"]) == ("memory", "served")


def called(monkeypatch: pytest.MonkeyPatch, *command: str) -> object:
    monkeypatch.setattr("sys.argv", ["trt-mogface", *command])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_a_server_that_is_killed_and_started_again_loses_no_image(tmp_path: Path, portrait: Photo) -> None:
    models, ports, answered = tmp_path / "models", free_ports(3), threading.Event()
    write_model(models, DEFAULT, TritonOptions(name="faces"))
    found: list[int] = []

    def load() -> None:
        with Detector(f"triton://127.0.0.1:{ports[0]}/faces?timeout=60") as served:
            for _ in range(40):
                found.append(len(served(portrait)))
                answered.set()

    with triton(models, tmp_path, ports) as first:
        thread = threading.Thread(target=load)
        thread.start()
        assert answered.wait(30)
        os.kill(first.process.pid, signal.SIGKILL)  # its Python processes are left behind
        first.process.wait(10)
        first.kill()
    with triton(models, tmp_path, ports):
        thread.join(90)
        assert not thread.is_alive()
    assert found == [1] * 40
