"""A dataset as parquet shards.

A dataset on disk comes in; shards with a card, for the Hub and for streaming, go out.
Start with `dataset.py`.
"""
