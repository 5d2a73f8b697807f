"""The command line itself: lazy verbs, flags in messages, help, completion and missing packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine_build.tensorrt.target import parse_capabilities
from tests.support.command import COMMAND, Run, command
from trt_mogface import __version__
from trt_mogface._names import split_list
from trt_mogface.cli import app
from trt_mogface.errors import ArgumentError
from trt_mogface.models.cards import DEFAULT

PROBE = """
import sys
for name in {blocked!r}: sys.modules[name] = None
sys.argv = ["trt-mogface", *{arguments!r}]
from trt_mogface.cli.app import main
try:
    main()
except SystemExit as stop:
    print(stop.code, *sys.modules)
"""

VERBS = [(verb, "wider") if verb == "eval" else (verb,) for verb in app.VERBS]


def probe(*arguments: str, blocked: tuple[str, ...] = ()) -> tuple[int, set[str], str]:
    """Return status, loaded modules and stderr of a command in a process of its own."""
    code = PROBE.format(arguments=arguments, blocked=blocked)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    status, *modules = done.stdout.splitlines()[-1].split()
    return int(status), set(modules), done.stderr


@pytest.mark.parametrize("verb", app.VERBS)
def test_help_lines_are_those_of_the_docstrings(verb: str) -> None:
    (text, *_) = (app.load(verb).help or "").strip().split("\n\n")
    assert " ".join(text.split()) == app.VERBS[verb]


def test_help_imports_no_verb_and_nothing_heavy() -> None:
    status, modules, _ = probe("--help")
    assert status == 0
    assert not modules & {"numpy", "cv2", "onnxruntime", "onnx", "torch", "engine_build", "rich.progress"}
    assert {name for name in modules if name.startswith("trt_mogface.")} <= {
        "trt_mogface._optional",
        "trt_mogface._printable",
        "trt_mogface.cli",
        "trt_mogface.cli.app",
        "trt_mogface.cli.signals",
        "trt_mogface.errors",
    }


@pytest.mark.parametrize("verb", ["models", "check-env"])
def test_a_verb_imports_no_other(verb: str) -> None:
    _, modules, _ = probe(verb, "--help")
    others = {f"trt_mogface.cli.{name.replace('-', '_')}" for name in app.VERBS if name != verb}
    assert not modules & others


def test_a_verb_whose_package_is_missing_spares_the_others(tmp_path: Path) -> None:
    blocked = ("onnx", "matplotlib", "scipy", "torch")
    for arguments in (("--help",), ("models",), ("detect", "--help"), ("build", "--help")):
        status, _, err = probe(*arguments, blocked=blocked)
        assert (status, err) == (0, "")
    status, _, err = probe("build", DEFAULT, "-o", str(tmp_path / "a.onnx"), blocked=blocked)
    assert status == 2
    (line,) = err.splitlines()
    assert "'onnx'" in line
    assert "pip install 'trt-mogface[build]'" in line


def test_a_missing_package_at_import_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "missing_verb.py").write_text("import no_such_package\n")
    monkeypatch.setattr(app, "import_module", lambda _: __import__("missing_verb"))
    monkeypatch.syspath_prepend(tmp_path)
    assert re.search("'no_such_package'.*pip install 'trt-mogface", run("models").message)


def test_a_module_of_our_own_that_is_missing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise ModuleNotFoundError("No module named 'trt_mogface.lost'", name="trt_mogface.lost")

    monkeypatch.setattr(app, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        app._run(["models"])


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("min_face", "--min-face"),
        ("conf", "--conf"),
        ("workspace_mib", "--mem-pool-size"),
        ("frames[0].planes[1]", "frames[0].planes[1]"),
    ],
)
def test_arguments_of_the_library_become_flags(argument: str, flag: str) -> None:
    assert app.flag(argument) == flag


def test_every_special_flag_belongs_to_a_verb() -> None:
    known = {
        name for verb in ("build", "bench") for parameter in app.load(verb).params for name in parameter.opts
    }
    assert set(app.FLAGS.values()) <= known


def test_an_argument_error_names_its_flag(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: list[str]) -> int:
        raise ArgumentError("min_face", "must be positive", -3)

    monkeypatch.setattr(app, "_run", fail)
    assert run().message == "--min-face -3: must be positive"


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_says_types_as_a_person_would(run: Run, verb: tuple[str, ...]) -> None:
    result = run(*verb, "--help")
    assert (result.status, result.err) == (0, "")
    assert not re.search(r"<\w+( range)?>|\b(INTEGER|FLOAT|TEXT|PATH|RANGE)\b|list\[", result.out)


@pytest.mark.parametrize("verb", ["detect", "compare", "bench", "build"])
def test_help_has_panels(run: Run, verb: str) -> None:
    panels = set(re.findall(r"╭─ ([A-Z][\w ]+) ─", run(verb, "--help").out))
    assert {"Model"} <= panels
    assert len(panels) >= 4


def complete(*words: str) -> list[str]:
    environment = {
        **os.environ,
        "_TRT_MOGFACE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["trt-mogface", *words]),
        "COMP_CWORD": str(len(words)),
    }
    return subprocess.run(COMMAND, env=environment, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["de"], ["detect"]),
        (["check"], ["check-env"]),
        (["build", "retinaface-r"], ["retinaface-r50"]),
        (["detect", "--model", "mogface-e"], ["mogface-e"]),
        (["detect", "--model", "fa"], ["fast"]),
        (["build", DEFAULT, "--precision", "b"], ["bf16"]),
        (["build", DEFAULT, "--precision", "fp16,i"], ["fp16,int8"]),
        (["eval", "wider", "--procedure", "si"], ["single"]),
        (["bench", "--mode", "network,v"], ["network,video"]),
        (["video", "--tracker", "oc"], ["ocsort"]),
        (["video", "--sink", "par"], ["parquet:"]),
        (["eval", "w"], ["wider"]),
        (["detect", "--min"], ["--min-face"]),
    ],
)
def test_a_shell_completes(words: list[str], expected: list[str]) -> None:
    assert complete(*words) == expected


def test_completion_of_nothing_names_every_verb() -> None:
    assert complete("") == list(app.VERBS)


def test_a_script_for_the_shell_can_be_shown_and_installed(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = command("--show-completion", "bash", env=environment)
    assert shown.status == 0
    assert "_TRT_MOGFACE_COMPLETE=complete_bash" in shown.out
    assert command("--install-completion", "bash", env=environment).status == 0
    assert "_TRT_MOGFACE_COMPLETE" in (tmp_path / ".bash_completions" / "trt-mogface.sh").read_text()


def test_flags_of_the_groups_are_kept() -> None:
    """Each flag that users know, per verb."""
    known = {
        "bench": "batch size scales duration mode images video rate poisson queue roofline simulate counted "
        "threads device json html model engine precision weights calib calib-cache force",
        "build": "output precision weights min-face input shapes end-to-end conf iou max-det calib "
        "calib-images calib-method calib-cache calib-size sensitivity keep-fp16 max-loss boxes "
        "force mem-pool-size builder-optimization-level timing-cache-file version-compatible "
        "hardware-compatibility-level compute-capabilities use-dla-core allow-gpu-fallback "
        "strip-weights refit tensorrt verbose",
        "detect": "model engine weights conf iou min-face size scales pad clip json jsonl save resume "
        "threads device providers",
        "video": "every fps keyframes start duration open timeout watch model engine weights min-face conf "
        "iou size scales track tracker blur batch max-delay-ms threads device providers decoder sink segment "
        "keep keep-going resume progress",
        "report": "output",
        "compare": "images weights conf iou size scales threads providers html json worst",
    }
    for verb, flags in known.items():
        options = {name for parameter in app.load(verb).params for name in parameter.opts if name[:2] == "--"}
        assert options == {f"--{flag}" for flag in flags.split()}


def test_version_is_printed_by_itself(run: Run) -> None:
    assert run("--version") == (0, f"trt-mogface {__version__}\n", "")


@pytest.mark.parametrize("verb", [(), ("eval",), *VERBS], ids=" ".join)
def test_h_is_help_everywhere(run: Run, verb: tuple[str, ...]) -> None:
    short, long = run(*verb, "-h"), run(*verb, "--help")
    assert short == long
    assert (short.status, short.err) == (0, "")
    assert "Usage: trt-mogface" in short.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", DEFAULT, "--precision", "int8, fp32", "--calib", "nowhere"),
        ("bench", "--precision", "fp32, fp16", "--calib", "nowhere"),
        ("bench", "--batch", "1, 2", "--images", "nowhere"),
        ("bench", "--mode", "network, memory", "--images", "nowhere"),
        ("bench", "--rate", "10, 20", "--images", "nowhere"),
        ("bench", "--simulate", " t4, l4", "--images", "nowhere"),
        ("eval", "wider", "--gt", "nowhere", "--procedure", "original, multi-scale"),
    ],
    ids=" ".join,
)
def test_lists_may_have_spaces(run: Run, arguments: tuple[str, ...]) -> None:
    """The folder that does not exist is what is refused, not the list."""
    assert "nowhere" in run(*arguments).message


def test_lists_of_the_library_may_have_spaces() -> None:
    assert split_list(" 8.9 ,12.0") == ["8.9", "12.0"]
    assert parse_capabilities("8.9, 12.0") == parse_capabilities("8.9,12.0")


def test_damaged_images_print_no_log_of_opencv(tmp_path: Path) -> None:
    (tmp_path / "cut.tiff").write_bytes(
        bytes(cv2.imencode(".tiff", np.zeros((64, 64, 3), np.uint8))[1])[:-90]
    )
    assert "cut.tiff" in command("detect", tmp_path / "cut.tiff").message
