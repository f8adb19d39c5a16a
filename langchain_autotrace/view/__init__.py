"""What is stored, what waits, and what is wrong, read and shown. Reads MLflow's public API; never imports LangChain."""
