"""Compiled comparison of token sequences and vectors."""
