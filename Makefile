# Everything needs Python 3.11 or newer and nothing else; `make` alone lists the verbs. PYTHON=… picks another interpreter.
.PHONY: help setup spark demo demo-spark test soak check format bench lock sample clean
.DELETE_ON_ERROR:

BIN := .venv/bin
WORLDS := 500
KILLS := 50
JOBS := $(shell getconf _NPROCESSORS_ONLN)

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/ready  ## a virtual environment in .venv with the pinned versions

.venv/ready: requirements.lock pyproject.toml
	@python=$$(./.ci/find_python "$(PYTHON)") && "$$python" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/ready

spark: .venv/spark  ## pyspark too, for --engine spark; half a gigabyte, and it wants Java 17

.venv/spark: .venv/ready requirements-spark.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --no-binary pyspark \
		--require-hashes -r requirements-spark.lock
	@touch .venv/spark

demo: .venv/ready  ## the whole way on the sample data, into demo/
	./examples/demo.sh demo $(BIN)/notif-rec

demo-spark: .venv/spark  ## the demo on Spark, into demo-spark/, and its plan held against the local one
	./examples/demo_spark.sh demo-spark $(BIN)/notif-rec

test: .venv/ready  ## every test, on all processors; then those on Spark, in one session, where Java and pyspark are
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not spark"
	$(BIN)/python -m pytest -m spark tests/engines

soak: .venv/ready  ## what is too long for every day: 500 random worlds, 1,000 with quotas, 200 kills at random moments, 30 nights
	$(BIN)/python -m tests.end_to_end.lives 0 $(WORLDS) $(JOBS)
	$(BIN)/python -m tests.planning.quota_worlds 0 $$((2 * $(WORLDS))) $(JOBS)
	printf '%s\n' apply run release forget | xargs -P $(JOBS) -I% $(BIN)/python -m tests.end_to_end.crashes % $(KILLS)
	$(BIN)/python -m tests.store.crash_points lines 1
	$(BIN)/python -m tests.store.crash_points kills 500
	NOTIF_REC_NIGHTS=30 NOTIF_REC_KILLS=$(KILLS) $(BIN)/python -m pytest tests/end_to_end/soak_nightly.py tests/end_to_end/soak_apply.py

check: .venv/ready  ## format, lint, types and the arrows between the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready .venv-bench/ready  ## this pipeline beside the script that one would write, side by side
	$(BIN)/python benchmarks/pipeline.py --baseline-python .venv-bench/bin/python

.venv-bench/ready: benchmarks/requirements.txt
	@python=$$(./.ci/find_python "$(PYTHON)") && "$$python" -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r benchmarks/requirements.txt
	@touch .venv-bench/ready

lock: .venv/ready  ## choose new versions for requirements.lock and requirements-spark.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 \
		--upgrade --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra spark --constraint requirements.lock --universal --generate-hashes --python-version 3.11 \
		$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
		--upgrade --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements-spark.lock

sample: .venv/ready  ## write sample_data/ anew: the same bytes
	$(BIN)/python sample_data/generate.py

clean:  ## remove what make made
	rm -rf .venv .venv-bench demo demo-spark
