"""Linear probes: which layers, their features, and the convex problem."""
