"""The second program of MLflow's announcement of tracing: a span around two decorated helpers."""

import mlflow

import langchain_autotrace

langchain_autotrace.autolog()


@mlflow.trace
def first_func(x, y=2):
    return x + y


@mlflow.trace
def second_func(a, b=3):
    return a * b


def do_math(a, x, operation="add"):
    with mlflow.start_span(name="Math") as span:
        span.set_inputs({"a": a, "x": x})
        span.set_attributes({"mode": operation})
        first, second = first_func(x), second_func(a)
        result = first + second if operation == "add" else first - second
        span.set_outputs({"result": result})
        return result


do_math(8, 3, "add")
