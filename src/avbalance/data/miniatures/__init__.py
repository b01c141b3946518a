"""Generators of miniatures, which stand in for datasets that cannot be downloaded."""
