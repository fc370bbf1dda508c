"""`selftest`: are the bits that fpsim computes here those that it computes everywhere?

Layer 10. Computes digests of results and compares them with the manifest that was shipped; tests nothing else.
"""

from fpsim.selftest.checking import GROUPS, Finding, computed, manifest, selftest

__all__ = ["GROUPS", "Finding", "computed", "manifest", "selftest"]
