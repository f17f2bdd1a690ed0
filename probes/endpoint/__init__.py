"""Measuring one endpoint: its addresses, time limits and the connections made to them."""
