# Everything runs in a virtual environment of its own, .venv; `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
TORCH  := 2.13.0
# Photos from scikit-image, with a public-domain portrait by NASA.  PHOTO is the image of `make demo`, PHOTOS the
# folder that it calibrates INT8 on.
PHOTOS ?= $(VENV)/photos
PHOTO  ?= $(PHOTOS)/astronaut.png

.PHONY: help demo kernels test family serving browsers streams bounds plugin-registry docs lint bench clean
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.package $(PHOTO) ## find the faces of a photo and build TensorRT engines (PHOTO=yours.jpg PHOTOS=folder)
	@mkdir -p out
	$(BIN)/trt-mogface detect $(PHOTO) --save out/faces.jpg
	$(BIN)/trt-mogface build retinaface-mnet025 --precision fp32,fp16,int8 --calib $(PHOTOS) -o out

kernels: ## build only the CUDA kernels, into build/kernels (ARCHITECTURES=87 for one GPU, TENSORRT=folder)
	cmake -S . -B build/kernels -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMOGFACE_CUDA_ARCHITECTURES="$(ARCHITECTURES)" \
	  $(if $(TENSORRT),-DTensorRT_ROOT="$(TENSORRT)")
	cmake --build build/kernels --parallel

# strace shows that no verb uses the network.  On Debian root installs it here; without it that test is skipped.
test: $(VENV)/.dev $(VENV)/.real-cuda ## run the tests and the examples in docstrings
	@command -v strace >/dev/null || { apt-get -qq update && apt-get -qq install --yes strace; } >/dev/null 2>&1 || \
	  echo "test: strace is not installed and cannot be installed here"
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

family: $(VENV)/.dev ## build engines of every detector with TensorRT-RTX
	MOGFACE_TEST_FAMILY=1 $(BIN)/python -m pytest -n auto --durations=0 tests/trt_mogface/cli/test_build_family.py

# Prometheus is the system's.  On Debian root installs it here; without it its test is skipped.
serving: $(VENV)/.dev ## try the services at length, with a real Triton (a wheel of 55 MB) and a real Prometheus
	@command -v prometheus >/dev/null || \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends prometheus; } >/dev/null 2>&1 || \
	  echo "serving: Prometheus is not installed and cannot be installed here"
	MOGFACE_TEST_SERVING=1 $(BIN)/python -m pytest -p no:xdist tests/trt_mogface/serving

# Chromium is the system's.  On Debian root installs it here; elsewhere install it first, or name it in CHROMIUM.
browsers: $(VENV)/.dev ## open the HTML pages in Chromium (CHROMIUM=/path/to/chromium)
	$(PIP) install --quiet --editable ".[browser]"
	@if [ -z "$$CHROMIUM" ] && ! command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; then \
	  echo "browsers: installing Chromium with apt-get"; \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core; } >/dev/null || \
	  echo "browsers: Chromium is not installed and cannot be installed here: the tests of the pages are skipped"; \
	fi
	$(BIN)/python -m pytest tests/browser

# GStreamer's RTSP server runs with the system's Python.  On Debian root installs both here; without them those tests
# are skipped.
GSTREAMER := gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad python3-gi
streams: $(VENV)/.dev ## video from real servers that fail, and runs that are killed
	@/usr/bin/python3 -c "import gi; gi.require_version('GstRtspServer', '1.0')" 2>/dev/null || \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends $(GSTREAMER); } >/dev/null 2>&1 || \
	  echo "streams: GStreamer's RTSP server is not installed and cannot be installed here: its tests are skipped"
	MOGFACE_TEST_STREAMS=1 $(BIN)/python -m pytest -p no:xdist -m streams tests/trt_mogface

bounds: $(VENV)/.dev ## install the lowest and the highest allowed releases of the dependencies, and detect
	MOGFACE_TEST_BOUNDS=1 $(BIN)/python -m pytest -n auto tests/test_bounds.py

# Failing inputs and the commands that repeat them are kept in out/fuzz.  TIME in seconds ends a run early.
COUNT ?= 100000
SEED  ?= 0
fuzz: $(VENV)/.dev ## try mutated images, models, records and texts (COUNT=100000 SEED=0 TIME=seconds)
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED) $(if $(TIME),--time $(TIME))

# The registries are those of TensorRT's lean runtimes, from the package index.  The headers are in no package: both
# variables name folders with an include/, of an archive of TensorRT or of github.com/NVIDIA/TensorRT at that release.
plugin-registry: $(VENV)/.dev ## load the TensorRT plugin into real registries (TensorRT_ROOT_10=folder TensorRT_ROOT_11=folder)
ifeq ($(and $(TensorRT_ROOT_10),$(TensorRT_ROOT_11)),)
	@echo "plugin-registry: no headers, nothing tested; set TensorRT_ROOT_10 and TensorRT_ROOT_11 to folders with an include/"
else
	$(PIP) install --quiet --no-deps --target build/plugin-registry/tensorrt-lean-10 --upgrade tensorrt-lean-cu13-libs==10.16.1.11
	$(PIP) install --quiet --no-deps --target build/plugin-registry/tensorrt-lean-11 --upgrade tensorrt-lean-cu13-libs==11.4.0.106
	TensorRT_ROOT_10="$(abspath $(TensorRT_ROOT_10))" TensorRT_ROOT_11="$(abspath $(TensorRT_ROOT_11))" \
	  $(BIN)/python -m pytest -v -p no:xdist tests/plugins/test_registry.py
endif

docs: $(VENV)/.dev ## build the documentation, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(VENV)/.dev ## check format, lint, types, imports, spelling and wording
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	git ls-files '*.h' '*.cuh' '*.cu' '*.cpp' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/lint-imports --no-logo --no-cache
	git ls-files | xargs $(BIN)/codespell
	$(BIN)/python -m pytest -q tests/test_language.py

bench: $(VENV)/.dev ## run the benchmarks and compare their ratios with the recorded ones
	$(BIN)/python -m benchmarks.around_the_network
	$(BIN)/python -m benchmarks.network
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.runner
	$(BIN)/python -m benchmarks.serve --requests 5000
	$(BIN)/python -m benchmarks.peers
	@$(BIN)/python -m benchmarks.eval || echo "(accuracy benchmarks need the test data: set MOGFACE_TEST_DATA)"
	@$(BIN)/python -m benchmarks.kernels || echo "(the kernel benchmark needs a GPU)"
	$(BIN)/python -m benchmarks.regression

clean: ## remove everything that make created
	rm -rf $(VENV) build out

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

$(VENV)/photos/astronaut.png: $(BIN)/python
	$(PIP) install --quiet scikit-image
	@mkdir -p $(@D)
	@cd $$($(BIN)/python -c "import skimage; print(skimage.__path__[0])")/data && \
	  cp camera.png chelsea.png coffee.png hubble_deep_field.jpg motorcycle_left.png rocket.jpg astronaut.png $(abspath $(@D))

# OpenCV's desktop build needs libGL, which a bare server lacks; the headless build does not.
NATIVE := CMakeLists.txt $(shell find plugins -type f ! -name '*.md')
$(VENV)/.package: $(BIN)/python pyproject.toml $(NATIVE) $(wildcard engine_build/models/retinaface*)
	$(PIP) install --quiet --editable ".[engines,rtx]"
	@$(BIN)/python -c "import cv2" 2>/dev/null || $(PIP) install --quiet --force-reinstall --no-deps opencv-python-headless
	@touch $@

# A CPU build of torch: plain `torch` brings several GB of CUDA packages.  It comes from the package index that pip is
# configured with, or else from PyTorch's CPU index.  Without either, tests that need torch are skipped.
$(VENV)/.torch: $(BIN)/python
	$(PIP) install --quiet "torch==$(TORCH)+cpu" 2>/dev/null || \
	  { $(PIP) install --quiet uv && \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu "torch==$(TORCH)" 2>/dev/null; } || \
	  echo "no CPU build of torch $(TORCH) found: tests of the MogFace network will be skipped"
	@touch $@

# PyCUDA, compiled in a minute or two, and releases of cuda-bindings, for tests/trt_mogface/cuda.  They lie in a cache
# outside this folder; without a compiler or the CUDA toolkit those tests are skipped.
$(VENV)/.real-cuda: $(VENV)/.dev tests/support/real_cuda.py
	$(BIN)/python -m tests.support.real_cuda
	@touch $@

$(VENV)/.dev: $(VENV)/.package $(VENV)/.torch
	$(PIP) install --quiet --editable ".[dev]"
	@$(BIN)/python -c "import cv2" 2>/dev/null || $(PIP) install --quiet --force-reinstall --no-deps opencv-python-headless
	@touch $@
