"""The gallery: figures that the literature's numbers can be held against, made by one command and verified by another.

Layer 10. Each exhibit is a file of its own: read `exhibit`, then `harmonic`, then `making` and `verifying`.
"""

from fpsim.gallery.catalogue import EXHIBITS, exhibit
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.making import Made, figures
from fpsim.gallery.verifying import Verdict, verify

__all__ = ["EXHIBITS", "Claim", "Exhibit", "Made", "Verdict", "exhibit", "figures", "verify"]
