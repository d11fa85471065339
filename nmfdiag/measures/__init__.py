"""The science: compression curve, AuC, layer profile, phases, verdict."""
