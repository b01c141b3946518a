"""From the configuration to recipes: of data, of runs and of what is made of them."""
