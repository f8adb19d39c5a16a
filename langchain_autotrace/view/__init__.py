"""Reads and shows stored traces and models, pending deliveries, and problems of the installation.

It reads stores through MLflow's public API, and never imports LangChain.
"""
