# Everything there is to type. `make` alone prints this list.
PYTHON ?= python3
PORT ?= 8000
DATA ?= .data
VIDEO ?=

BIN := .venv/bin
READY := .venv/.ready

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: $(READY)  ## follow a clip from ticket to playback: make demo VIDEO=clip.mp4
	@$(BIN)/python tests/demo.py --port $(PORT) --data $(DATA) $(if $(VIDEO),"$(VIDEO)")

run: $(READY)  ## serve on http://localhost:8000: make run PORT=8000 DATA=.data
	@exec $(BIN)/python functions/local_server.py --port $(PORT) --data "$(DATA)"

test: $(READY)  ## run the tests: no AWS, no Docker, under two minutes
	$(BIN)/pytest -n auto

check: $(READY)  ## what CI runs: format, lint, types, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -n auto

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

install: $(READY)  ## make .venv with everything, at its locked version

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.13 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $(READY)

lock: $(READY)  ## write both lock files anew from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o functions/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group dev pyproject.toml -c functions/requirements.txt -o requirements-dev.txt

clean:  ## remove what was built; .data stays
	rm -rf .venv .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help demo run test check format install lock clean
