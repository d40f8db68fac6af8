# Two commands do everything on a fresh machine with Python >= 3.11:
#   make demo   the light core, a data set from bundled photographs, verified, and a contact sheet
#   make test   the full environment, and all tests
PYTHON ?= python3
PY := .venv/bin/python
PIN := -q -c constraints.txt
# Tests start programs by the dozen: where this is set, as in many containers, each compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE
# glibc overwrites what is freed, so that a kernel that reads it gives a wrong result.
test slow: export MALLOC_PERTURB_ = 165
# uv for speed, plain pip where uv cannot be had; both from the one constraints file
install = $(PY) -m uv pip install --python $(PY) $(PIN) -e '.[$(1)]' || $(PY) -m pip install $(PIN) -e '.[$(1)]'

.PHONY: demo test slow guard check docs bench photographs weights constraints clean help

help:
	@grep -E '^#   make|^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^#   //; s/^([a-z]+):.*## /make \1\t/'

.venv/bin/python:
	$(PYTHON) -m venv .venv
	-$(PY) -m pip install -q uv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(call install,demo)
	@touch $@

# torch by pip, not uv: pip looks where it is configured to, so that a build for the CPU which is at hand there is taken
# instead of gigabytes for CUDA. What is installed satisfies uv afterwards.
.venv/.torch: .venv/bin/python constraints.txt
	$(PY) -m pip install $(PIN) torch "triton; sys_platform == 'linux' and platform_machine == 'x86_64'"
	@touch $@

.venv/.dev: .venv/.torch pyproject.toml constraints.txt
	$(call install,dev)
	@touch $@ .venv/.demo

demo: .venv/.demo ## data set from bundled photographs, verified, with a contact sheet
	$(PY) examples/00_demo.py

test: .venv/.dev ## all tests but the slow ones
	$(PY) -m pytest -n 2 --dist worksteal -m 'not slow'

slow: .venv/.dev ## the slow tests: an empty environment, long runs
	$(PY) -m pytest -n 2 --dist worksteal -m slow

guard: .venv/.dev ## whether something has become slower, as ratios to peers; a minute or two
	$(PY) benchmarks/run.py guard

check: .venv/.dev ## lint, types, architecture and the site
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_architecture.py
	$(MAKE) docs

docs: .venv/.dev ## the site, in site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

bench: .venv/.torch ## benchmarks against peers, written to BENCHMARKS.md
	$(call install,bench)
	$(PY) benchmarks/run.py

photographs: .venv/.demo ## openly licensed photographs from packages of Debian, in photographs/
	$(PY) -m blursynth photographs photographs/

weights: .venv/.dev photographs ## train the network that ships, in photographs-run/; hours on two cores
	$(PY) -m deblur_models train photographs --out photographs-run/
	$(PY) benchmarks/ship_network.py photographs-run/ photographs

constraints: .venv/bin/python ## pin the development environment anew
	$(PY) -m uv pip compile --universal --all-extras --no-header --no-annotate -q pyproject.toml -o constraints.txt

clean: ## remove what was built
	rm -rf .venv demo dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
