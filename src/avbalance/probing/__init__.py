"""How much of the label does a layer know? Layers by name, their features, and the convex problem."""
