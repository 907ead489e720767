"""Where blocks, coins and the log of the current epoch are kept."""
