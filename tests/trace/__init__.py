"""Tests of the stage that makes spans of events: JSON in, JSON out, without LangChain and MLflow."""
