"""The node's parameters: table, declaration, settings and their pages."""
