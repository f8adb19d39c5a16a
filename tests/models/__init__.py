"""Chains as MLflow models."""
