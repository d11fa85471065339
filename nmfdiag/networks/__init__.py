"""Architectures, their ReLU layers, and cutting a network at one of them. Nothing is imported here: pages read parts without torch."""
