"""Stores: images that are not read as a whole, denoised shard by shard into a Zarr store."""
