"""How much of the label does a layer hold? Layers by name, their features, and the convex problem of a probe."""
