"""
The one door to torch, transformers and peft: load, sample, score, train and teach causal language models.

Importing this package imports nothing heavy; its modules do.
"""
