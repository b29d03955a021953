"""How often a checkpoint is right about drawn scenes, by strategy and budget, and at what cost.

`uhrqa eval synth` runs it. Imports nothing by itself, so that help stays quick.
"""
