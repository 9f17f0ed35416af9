"""How fast data is identified, signatures are checked and chains are decided; and the table of attacks."""
