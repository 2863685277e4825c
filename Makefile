# `make` alone lists the targets. Every target but `help` and `clean` first installs what is missing.

# dvc.yaml calls `python -m stages.X`. This must be the python of the environment.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

INSTALLED := .venv/.installed

.PHONY: help install repro serve register compare drift noise policies tune models bench test test-quick lint docs mlflow clean

## List the targets
help:
	@awk '/^## / {text = substr($$0, 4)} \
	      /^[a-z-]+:/ && text {split($$0, name, ":"); printf "make %-10s %s\n", name[1], text; text = ""}' Makefile

## Build or update the environment in .venv (with another Python: make install PYTHON=/path/to/python3.12)
install: $(INSTALLED)

# A python that is on the path may still not run (a pyenv shim) or lack venv (Debian without python3-venv), so try it.
$(INSTALLED): pyproject.toml constraints.txt
	@found=; for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.12 python3.11); do \
	    if "$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; \
	    then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "error: no Python 3.11 or 3.12 with venv among: $(or $(PYTHON),python3 python3.12 python3.11)." \
	         "Install one (on Debian or Ubuntu with python3-venv), or name it: make install PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	.venv/bin/python -m pip --version >/dev/null 2>&1 || "$$found" -m venv --clear .venv
	.venv/bin/python -m pip install -c constraints.txt torch
	.venv/bin/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

## Run the stages that changed: from raw ratings to a trained model, its metrics and its report
# DVC ends with status 0 even if its cache could not take all outputs, so ask for those that are missing.
repro: install
	.venv/bin/dvc repro
	@state=$$(.venv/bin/dvc data status --granular) || exit 1; case "$$state" in *"Not in cache"*) \
	    echo "error: DVC's cache lacks outputs (list them: dvc data status --granular). If the disk is full, free" \
	         "some space. Then run make repro again." >&2; exit 1;; esac

## Answer over HTTP by the trained model, and show a page (http://127.0.0.1:8000; end it with Ctrl-C)
serve: install
	.venv/bin/widedeep serve $(ARGS)

## Put the trained model into the registry of MLflow
register: install
	.venv/bin/widedeep register $(ARGS)

## Say which metrics are better or worse than in the last commit (or: make compare ARGS="v1 v2"); write reports/drift.html
compare: install
	.venv/bin/widedeep compare --html reports/drift.html $(ARGS)

## Do the same as make compare (its earlier name)
drift: compare

## Train with 5 seeds to measure how far each metric moves by chance (reports/noise.json)
noise: install
	.venv/bin/dvc repro featurize
	.venv/bin/widedeep noise $(ARGS)

## Measure what helps against drift: nothing, training again, or a warm start (studies/drift/results.*)
policies: install
	.venv/bin/dvc repro studies/drift/dvc.yaml

## Search for better parameters of the training, on validation rows (with options: make tune ARGS="--trials 100 --write")
tune: install
	.venv/bin/dvc repro featurize
	.venv/bin/widedeep tune $(ARGS)

## Train all models on the same features and compare them (studies/comparison/results.*)
models: install
	.venv/bin/dvc repro studies/comparison/dvc.yaml

## Measure speed and memory of preparing, training and ranking (benchmarks/results.md)
bench: install
	.venv/bin/python -m benchmarks $(ARGS)

# Two workers take a file of tests at a time, in the order of tests/conftest.py.
FILE_BY_FILE := -n 2 --dist loadfile --no-loadscope-reorder

## Run all tests, two at a time
test: install
	.venv/bin/python -m pytest $(FILE_BY_FILE)

## Run the tests that neither run the pipeline nor take long
test-quick: install
	.venv/bin/python -m pytest $(FILE_BY_FILE) -m "not slow"

## Check style, format and types
lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

## Build the documentation in docs/api: the pages of docs/, and the reference of the code
docs: install
	.venv/bin/pdoc --output-directory docs/api docs/guide.py widedeep stages

## Show the training runs in a browser (MLflow, on port 5000); end it with Ctrl-C
mlflow: install
	@echo "The table of runs: http://localhost:5000/$$(MLFLOW_TRACKING_URI= .venv/bin/python -c \
	    'from widedeep.tracking import runs_page; print(runs_page())')"
	.venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db

## Remove caches, checkpoints and the built documentation; data, models, reports and .venv stay
clean:
	rm -rf .mypy_cache .pytest_cache .ruff_cache docs/api checkpoints
	find src stages benchmarks studies tests -name __pycache__ -prune -exec rm -rf {} +
