"""Files as an attacker would write them: each can be written into a folder, and says what it is and what is to be said of it."""

from hostile import Hostile
from hostile_folders import programs, recordings
from hostile_samples import arrays, images
from hostile_weights import checkpoints

CORPUS: tuple[Hostile, ...] = (*checkpoints(), *arrays(), *images(), *recordings(), *programs())
