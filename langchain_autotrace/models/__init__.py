"""Logs chains as models: finds the chain that runs, writes it as JSON, hashes its content, and builds it again."""
