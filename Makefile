# Everything there is to type. `make` alone prints this list.
PYTHON ?= python3
PORT ?= 8000
DATA ?= .data
VIDEO ?=
FILES ?=
FUZZ_COUNT ?= 6000
BENCH_CLIP ?=
BENCH_ROUNDS ?= 5
BENCH_CONCURRENT_ROUNDS ?= $(BENCH_ROUNDS)
BENCH_JSON ?=
LOAD_ROUNDS ?= 3

PROCESSOR ?= x86_64
PYTHON313 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) python3.13)

BIN := .venv/bin
READY := .venv/.ready
# sam, samlocal and an emulator have a Python 3.13 of their own, which `sam build` finds on PATH.
AWS_BIN := $(CURDIR)/.venv-aws/bin
AWS_READY := .venv-aws/.ready
PLAYER_READY := tests/playback/node_modules/.ready
EMULATOR_READY := .venv-emulator/.ready
SCAN_READY := .venv-scan/.ready
WITH_AWS := SAM_CLI_TELEMETRY=0 PATH="$(AWS_BIN):$(CURDIR)/.venv-emulator/bin:$$PATH"

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: $(READY)  ## follow a clip from ticket to playback: make demo VIDEO=clip.mp4
	@PYTHONPATH=functions $(BIN)/python tests/demo.py --port $(PORT) --data $(DATA) $(if $(VIDEO),"$(VIDEO)")

run: $(READY)  ## serve on http://localhost:8000: make run PORT=8000 DATA=.data
	@exec $(BIN)/python functions/local_server.py --port $(PORT) --data "$(DATA)"

check-files: $(READY)  ## say whether files would be accepted, and why not: make check-files FILES="a.mp4 b.mov"
	@PYTHONPATH=functions $(BIN)/python -m videos.check $(FILES)

redrive: $(READY)  ## list what failed for good, with the reason, and send it back to work: make redrive DATA=.data
	@STORAGE_MODE=$${STORAGE_MODE:-local} LOCAL_FOLDER="$(DATA)" PYTHONPATH=functions $(BIN)/python -m videos.redrive

test: $(READY)  ## run the tests but the longest: no AWS, no Docker, under two minutes
	$(BIN)/pytest -n auto -m "not thorough"

check: $(READY) scan  ## what CI runs: format, lint, types, template, weaknesses, every test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/cfn-lint template.yaml
	$(BIN)/pytest -n auto

scan: $(SCAN_READY)  ## look for known weaknesses in the template and in every package
	.venv-scan/bin/checkov --file template.yaml
	.venv-scan/bin/python tests/supply_chain.py audit

test-playback: $(READY) $(PLAYER_READY)  ## play what is made of clips in Chromium, with hls.js; needs chromium, chromedriver and npm
	$(BIN)/pytest tests/test_playback.py --playback

# Not by --prefix: npm would then leave out what this machine sets for it, such as a company's CA.
$(PLAYER_READY): tests/playback/package-lock.json
	cd tests/playback && npm ci
	@touch $@

fuzz: $(READY)  ## check damaged files for two minutes: make fuzz FUZZ_COUNT=6000
	FUZZ_COUNT=$(FUZZ_COUNT) $(BIN)/pytest -n auto tests/test_fuzz.py

chaos: $(READY)  ## random faults, three seeds of hundreds of videos, here and on moto: the books must balance
	for seed in 1 2 3; do CHAOS_SEED=$$seed CHAOS_LOCAL=500 CHAOS_AWS=200 $(BIN)/pytest -s tests/test_chaos.py || exit 1; done

chaos-emulator: $(READY) $(EMULATOR_READY)  ## the same on MiniStack, or whatever answers on localhost:4566
	for seed in 1 2 3; do CHAOS_SEED=$$seed CHAOS_AWS=200 $(WITH_AWS) $(BIN)/pytest -s tests/test_chaos.py --emulator || exit 1; done

bench: $(READY)  ## measure beside plain ffmpeg, against the budgets: make bench BENCH_CLIP=clip.mp4 BENCH_ROUNDS=5
	@PYTHONPATH=functions $(BIN)/python tests/bench.py --rounds $(BENCH_ROUNDS) \
		--concurrent-rounds $(BENCH_CONCURRENT_ROUNDS) \
		$(if $(BENCH_JSON),--json "$(BENCH_JSON)") $(if $(BENCH_CLIP),"$(BENCH_CLIP)")

load: $(READY)  ## let crowds upload and poll while it transcodes, and beyond: make load LOAD_ROUNDS=3
	@PYTHONPATH=functions $(BIN)/python tests/load.py --rounds $(LOAD_ROUNDS) \
		$(if $(BENCH_JSON),--json "$(BENCH_JSON)") $(if $(BENCH_CLIP),"$(BENCH_CLIP)")

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

install: $(READY)  ## make .venv with everything, at its locked version

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.13 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $(READY)

build: $(AWS_READY)  ## build functions and layer for AWS: make build PROCESSOR=arm64
	$(WITH_AWS) sam validate --lint --region us-east-1
	PROCESSOR=$(PROCESSOR) $(WITH_AWS) sam build --parameter-overrides Processor=$(PROCESSOR)
	@# What sam cannot do: leave the local server out, and compile. /var/task is read-only, so without
	@# .pyc every cold start would compile anew; unchecked, since deployment loses the times of files.
	@# All functions are copies of one folder, and stay so.
	@# boto3 describes 400 services; three are called here.
	cd .aws-sam/build && rm -rf ReadVideo/local_server.py ReadVideo/local_aws ReadVideo/requirements.txt && \
		find ReadVideo/botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name dynamodb ! -name sqs -exec rm -rf {} + && \
		$(AWS_BIN)/python -W ignore -m compileall -q -j 0 --invalidation-mode unchecked-hash -s ReadVideo -p /var/task ReadVideo && \
		for function in CheckHealth CheckUpload RecoverVideos RequestUpload TranscodeVideo; do \
			rm -rf $$function && cp -R ReadVideo $$function || exit 1; \
		done
	@du -sm .aws-sam/build/ReadVideo .aws-sam/build/MediaToolsLayer | awk '{print $$2 ": " $$1 " MB"}'
	@$(MAKE) --no-print-directory sbom

sbom: $(AWS_READY)  ## list what was built, every package and binary, in .aws-sam/sbom.cdx.json
	@$(AWS_BIN)/python tests/supply_chain.py sbom

deploy-emulator: $(READY) build  ## deploy to LocalStack or MiniStack on localhost:4566, or at LOCALSTACK_HOST
	$(WITH_AWS) $(BIN)/python tests/emulator.py deploy

emulator: $(READY) $(EMULATOR_READY)  ## run MiniStack on localhost:4566 until Ctrl-C; needs Docker
	$(WITH_AWS) $(BIN)/python tests/emulator.py run

test-emulator: $(READY) $(EMULATOR_READY) build  ## deploy to an emulator with sam and run the journey there; needs Docker
	$(WITH_AWS) $(BIN)/pytest tests/test_artifact.py tests/test_integration.py tests/test_contract.py tests/test_chaos.py --emulator
	$(WITH_AWS) $(BIN)/pytest tests/test_integration.py tests/test_contract.py tests/test_permissions.py --emulator=auth

test-sam-local: $(READY) $(EMULATOR_READY) build  ## sam local invoke for every event, sam local start-api; needs Docker
	$(WITH_AWS) $(BIN)/pytest tests/test_sam_local.py --sam-local

$(SCAN_READY): PYTHON313 = $(PYTHON)   # any will do for this one
.venv-%/.ready: requirements-%.txt
	@$(PYTHON313) --version >/dev/null || { echo "Python 3.13 is needed for this; name one: make PYTHON313=/path/to/python3.13 …"; exit 1; }
	$(PYTHON313) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-$*.txt
	@touch $@

lock: $(READY)  ## write the lock files anew, at the newest versions
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o functions/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group dev pyproject.toml -c functions/requirements.txt -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header requirements-aws.in -o requirements-aws.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header requirements-emulator.in -o requirements-emulator.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-scan.in -o requirements-scan.txt
	cd tests/playback && npm install --package-lock-only hls.js@latest

clean:  ## remove what was built; .data stays
	rm -rf .venv .venv-aws .venv-emulator .venv-scan tests/playback/node_modules .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help demo run check-files redrive fuzz chaos chaos-emulator bench load test test-playback check scan format install build sbom deploy-emulator emulator test-emulator test-sam-local lock clean
