"""One layer a file: what is read of its observations, and the rules that judge them."""
