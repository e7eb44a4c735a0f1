"""Files of pixels: what their headers say, their pages, their metadata; reading and writing them."""
