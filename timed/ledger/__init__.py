"""The rules of the chain: what a block may hold and what it leaves behind."""
