"""Balanced audio-visual learning, from raw clips to printed tables."""
