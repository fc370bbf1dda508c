"""Images and text to train on, from files inside the package or in IDX format; batches that can be resumed.

Layer 5. Gives NumPy arrays; never downloads, never trains, never uses NumPy's global random state.
"""

from fpsim.data.idx_files import idx, read_idx
from fpsim.data.images import Images, digits, fashion
from fpsim.data.order import Batches, batches, sequences
from fpsim.data.texts import Text, text

__all__ = ["Batches", "Images", "Text", "batches", "digits", "fashion", "idx", "read_idx", "sequences", "text"]
