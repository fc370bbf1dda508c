"""Images to train on, from files inside the package or in IDX format, and a batch order that can be resumed.

Layer 5. Gives NumPy arrays; never downloads, never trains, never uses NumPy's global random state.
"""

from fpsim.data.idx_files import idx, read_idx
from fpsim.data.images import Images, digits, fashion
from fpsim.data.order import Batches, batches

__all__ = ["Batches", "Images", "batches", "digits", "fashion", "idx", "read_idx"]
