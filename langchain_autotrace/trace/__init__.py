"""Events become spans: pure functions on plain values, without LangChain and MLflow."""
