# The README's two commands, and short names for the scripts.
.PHONY: demo test check setup setup-dev docs benchmark

demo: setup
	.venv/bin/python start.py --demo

# What needs no service and no browser; `TESTS=all make test` runs everything.
test: setup-dev
	[ "$(TESTS)" != all ] || scripts/clients
	scripts/test

check: setup-dev
	scripts/check

setup:
	scripts/setup

setup-dev:
	scripts/setup dev

benchmark: setup-dev
	.venv/bin/python -m benchmarks

docs: setup-dev
	.venv/bin/python -m scripts.docs
