"""How does a run train: its start, its optimiser, one epoch, the state between epochs, checkpoints and snapshots?"""
