"""Writes new traces into MLflow's database: many in one transaction, with the rows that MLflow itself would leave.

Only what is known to come out the same is written (``revisions.py`` has the versions of MLflow that are known).
Everything else goes through MLflow's API (``bulk_sink.py``).
"""
