"""LangChain's callbacks become records."""
