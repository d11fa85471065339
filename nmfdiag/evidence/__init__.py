"""What the paper claims, measured on our own networks. Read ``claims.py`` first; ``curves.py`` is the table it is measured on."""
