"""Tests; see CONTRIBUTING.md."""

from tests import windows as windows  # before anything of ours is imported
