"""What does a training keep: its state, weights at chosen steps, its optimiser and its start?"""
