"""All hostile files; each writes itself into a folder and has a description and the expected message."""

from hostile import Hostile
from hostile_folders import programs, recordings
from hostile_samples import arrays, images
from hostile_weights import checkpoints

CORPUS: tuple[Hostile, ...] = (*checkpoints(), *arrays(), *images(), *recordings(), *programs())
