"""Subgraphs and group nodes, turned into plain nodes."""
