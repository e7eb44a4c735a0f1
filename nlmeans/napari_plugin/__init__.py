"""The filter in napari: two widgets, which its manifest napari.yaml names.

`layers` says what is computed of a layer and knows no window; `work` does it in a thread; `widgets` is what
people see.  Only `work` and `widgets` need Qt, and nothing here needs napari.
"""
