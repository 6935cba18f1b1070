"""The TransIP model: configuration, network, checkpoints. Imports nothing of the engines."""
