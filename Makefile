# The README's two commands, and short names for the scripts.
.PHONY: demo test check setup

demo: setup
	.venv/bin/python start.py --demo

test: setup
	scripts/test

check: setup
	scripts/check

setup:
	scripts/setup
