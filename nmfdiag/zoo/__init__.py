"""Trained networks: recipes, the registry of what is on disk, training and verifying."""
