"""Messages and frames: what two nodes say to each other."""
