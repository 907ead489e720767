"""A network of real nodes on one machine."""
