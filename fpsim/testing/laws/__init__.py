"""Laws to try on one's own code: what rounding, summation, dot products and activations must do.

Layer 13. ``laws.rounding(my_round, "float16")`` raises with the broken laws, each with its simplest example.
"""

from fpsim.testing.laws.activation import activation, softmax
from fpsim.testing.laws.rounding import rounding
from fpsim.testing.laws.suite import Law, Subject, Suite
from fpsim.testing.laws.sums import dot, summation

__all__ = ["Law", "Subject", "Suite", "activation", "dot", "rounding", "softmax", "summation"]
