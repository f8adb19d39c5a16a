"""MLflow's own API around and within LangChain's runs."""
