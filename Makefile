# The README's two commands, and short names for the scripts.
.PHONY: demo test check setup docs benchmark

demo: setup
	.venv/bin/python start.py --demo

test: setup
	scripts/test

check: setup
	scripts/check

setup:
	scripts/setup

benchmark: setup
	.venv/bin/python -m benchmarks

docs: setup
	.venv/bin/python -m scripts.docs
