"""The commands of ``nmfdiag``, one file each, named as the command: options, calls into the core, output. Heavy imports are deferred."""
