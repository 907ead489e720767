"""Values of the chain: amounts, hashes, transactions, blocks, certificates, rosters."""
