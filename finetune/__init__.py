"""Learning: synthetic tasks, ideas, exploration, training, the gate (DESIGN §10).

Importing this package imports nothing heavy.
"""
