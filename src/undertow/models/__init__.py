"""
The one door to torch, transformers and peft: load, digest, sample, score, steer and train causal language models.

Importing this package imports nothing heavy; its modules do.
"""
