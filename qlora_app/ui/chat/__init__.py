"""The Chat tab: talk to a base and its adapter, or try what another task learned."""
