"""The content filters' figures: what they can tell of rows and bags, and how much of the transfer they leave."""
