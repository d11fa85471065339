"""Data sets, label randomisation, probe batches and the audio front end. Nothing is imported here: pages read parts without torch."""
