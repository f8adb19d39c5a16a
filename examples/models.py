"""A chain becomes an MLflow model: log it, find its traces, load it again, on mlflow-skinny."""

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from mlflow import MlflowClient

import langchain_autotrace

langchain_autotrace.autolog(log_models=True, log_input_examples=True, registered_model_name="teller")


def build(style: str):
    """Two styles are two models; two chains of one style are one."""
    prompt = ChatPromptTemplate.from_template(f"Tell me about {{topic}}, {style}.")
    return prompt | FakeListChatModel(responses=["Cats sleep two thirds of their lives."]) | StrOutputParser()


for style in ("in a sentence", "in a sentence", "in verse"):
    build(style).invoke({"topic": "cats"})
assert langchain_autotrace.flush(models=True).ok

client = MlflowClient()
models = client.search_logged_models(["0"])
assert len(models) == len({"in a sentence", "in verse"})
for model in models:
    traces = client.search_traces(
        locations=["0"], filter_string=f"metadata.`mlflow.modelId` = '{model.model_id}'", include_spans=False
    )
    print(f"models:/{model.model_id} has {len(traces)} traces")

chain = langchain_autotrace.load_model("models:/teller/1")
print(chain.invoke({"topic": "dogs"}))

print("See them with: langchain-autotrace models show last")
print("Serve one, with the full mlflow installed: mlflow models serve -m models:/teller/1 --env-manager local")
