"""Pages that rewrite themselves for clients without cookies."""
