"""TIFF: directories and tags, what a page's pixels are, its descriptions; reading and writing it."""
