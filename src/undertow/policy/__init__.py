"""From facts to a decision: typed rules, custom rules, the gate."""
