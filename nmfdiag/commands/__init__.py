"""The commands of ``nmfdiag``, a file a group: what each takes, asks the core for, and prints. Heavy imports wait."""
