"""The noise: how strong it is, and how strong the filter must then be."""
