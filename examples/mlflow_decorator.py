"""The first program of MLflow's announcement of tracing: a decorated function is a trace."""

import mlflow

import langchain_autotrace

langchain_autotrace.autolog()

mlflow.set_experiment("Tracing Demo")


@mlflow.trace
def some_function(x, y, z=2):
    return x + (y - z)


some_function(2, 4)
