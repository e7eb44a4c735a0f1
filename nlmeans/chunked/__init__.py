"""Images in parts: what is chosen is chosen once, then every part is done from its own pixels and its halo.

`work` does one part of anything that can be sliced; `graph` makes tasks of the chunks of a Dask array;
`batches` does the pictures of a batch.
"""
