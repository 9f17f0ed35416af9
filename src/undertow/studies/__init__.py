"""Studies on small networks, one readable script each: digits learnt from noise, and the theorem measured."""
