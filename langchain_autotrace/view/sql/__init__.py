"""Reads the tables of MLflow's database where their revision is known, without importing MLflow.

The other way is MLflow's API: it reads every store, needs seconds to be imported, and knows no sums and no sessions.
"""
