# Every target sets up what it needs; see .ci/setup.
VENV := .venv
BIN := $(VENV)/bin
BUILT := $(VENV)/built.stamp

.DEFAULT_GOAL := help
.PHONY: help run test test-long test-sanitize test-wheel lint bench wheel clean compiled

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: compiled ## Set up, build, and run the example in the foreground
	@exec $(BIN)/pidsup run -c examples/hello.toml

test: compiled ## Run the tests, all but the long ones
	@.ci/setup tools || echo "some tests will be skipped"
	@$(BIN)/pytest

test-long: compiled ## Run the random and soak tests with large numbers
	@$(BIN)/pytest -m long -o faulthandler_timeout=0

test-sanitize: compiled ## Run the tests with the extension under ASan and UBSan
	@.ci/test-sanitize

test-wheel: $(BUILT) ## Build the wheel and test it, installed, under each Python
	@.ci/test-wheel

lint: $(BUILT) ## Check style, types, layers and the C code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	.ci/lint-c

bench: compiled ## Run the benchmarks
	@$(BIN)/python -m bench

wheel: $(BUILT) ## Build the wheel into dist/
	@rm -rf build/lib* dist
	@$(BIN)/python -m pip wheel -q --no-build-isolation --no-deps -w dist .

clean: ## Remove everything that was made, .venv too
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis .benchmarks
	rm -f pidsup/linux/*.so pidsup/linux/_native.c
	find . -name __pycache__ -type d -prune -exec rm -r {} +

# One stamp for packages, venv and extension: a second call does nothing.
$(BUILT): .ci/setup pyproject.toml setup.py $(wildcard csrc/*)
	@.ci/setup
	@touch $@

# Where PYTHONDONTWRITEBYTECODE is set every start would compile anew.
compiled: $(BUILT)
	@$(BIN)/python -m compileall -q pidsup
