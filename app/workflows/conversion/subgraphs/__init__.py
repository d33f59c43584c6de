"""Conversion of subgraphs and group nodes to plain nodes."""
