"""Counting and showing what eval_hits.py found."""
