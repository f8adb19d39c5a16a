"""The web pages of ``langchain-autotrace ui``: a server on this machine, and what its pages show."""
