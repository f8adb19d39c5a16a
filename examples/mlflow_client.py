"""The third program of MLflow's announcement of tracing: a trace made by hand, with the client and ``request_id``."""

from mlflow import MlflowClient

import langchain_autotrace

langchain_autotrace.autolog()

client = MlflowClient()
root_span = client.start_trace("my_trace")
request_id = root_span.request_id

child_span = client.start_span(
    name="child_span",
    request_id=request_id,
    parent_id=root_span.span_id,
    inputs={"input_key": "input_value"},
    attributes={"attribute_key": "attribute_value"},
)
client.end_span(
    request_id=child_span.request_id,
    span_id=child_span.span_id,
    outputs={"output_key": "output_value"},
    attributes={"custom_attribute": "value"},
)
client.end_trace(
    request_id=request_id,
    outputs={"final_output_key": "final_output_value"},
    attributes={"token_usage": "1174"},
)
