"""The Twisted application around the node: configuration, logging, services, driver."""
