"""A Region Focus Module for any checkpoint, distilled from its own attention.

Source: Luo et al. 2025, "Attention Distillation for Key Region Focus", Eq. 4-6.
"""
