"""Recorded traffic: what is in it, what a cache would have saved, and filling one from it."""
