# taskmem: `make demo` and `make test` set up all they need (.venv, .ros) on the first run.
SHELL := /bin/bash
PYTHON ?= python3
ENV := . scripts/env.sh &&

.DEFAULT_GOAL := help
.PHONY: help setup build demo nightly test bench-home lint clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /make \1\t/p' Makefile | expand -t 16

setup:  ## virtual environment, pinned packages, ROS 2 (the sourced one, else wheels), built interfaces
	@$(PYTHON) scripts/setup_env.py

build: setup  ## the same: what changed (msg/, srv/, setup.py, constraints.txt ...) is built again

demo: setup  ## the agent in its demo home: watches, remembers, answers; more: make demo ARGS="--help"
	@$(ENV) taskmem demo $(ARGS)

nightly: setup  ## days and nights in the demo home: asked, learned from, better; then its role changes
	@$(ENV) taskmem nights $(ARGS)

# Two processes of one torch thread each: two threads wait for each other more than they work.
test: export OMP_NUM_THREADS ?= 1
test: setup  ## all tests, over real DDS where they need ROS; a part: make test ARGS=tests/clips
	@$(ENV) python -m pytest -p xdist -n 2 --dist loadfile $(ARGS)

# One thread, as above: two that share cores with anything else take far longer than one.
bench-home: export OMP_NUM_THREADS ?= 1
bench-home: setup  ## what a robot gains by learning from its tasks, measured on the demo home (half an hour)
	@$(ENV) python benchmarks/phase_two.py runs/bench-home --small --seeds 0 --parts roles $(ARGS)

lint: setup  ## format and rules by ruff (pyproject.toml); mend: ruff format, ruff check --fix
	@$(ENV) ruff format --check && ruff check

clean:  ## remove what the above made
	rm -rf .venv .ros build install log demo *.egg-info src/*.egg-info train/*.egg-info .pytest_cache
