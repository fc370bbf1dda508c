"""Sweeps: many configurations, on whatever runs them, kept in one file.

Layer 8. Read `grid` (what is run), `task` (one run, anywhere), `executors` and `running` (where, and what is lost),
`store` (what is kept), `found` (what comes out); `fpsim.experiments.sweeping` puts them together.
"""
