"""Sends new traces to MLflow's tracking server: the requests of MLflow's client, over kept connections, without it.

What needs more than these requests, and every server that does not answer as a current one, goes through MLflow's API
(``two_ways.py``).
"""
