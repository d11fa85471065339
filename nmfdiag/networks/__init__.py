"""Architectures, their ReLU layers, and cutting a network at one of them."""
