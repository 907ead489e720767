"""The events of a node as a durable log with cursors, and who reads it."""
