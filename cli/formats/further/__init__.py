"""Formats that hold little besides pixels: Netpbm, PFM, Radiance, OpenEXR, and those that imageio reads."""
