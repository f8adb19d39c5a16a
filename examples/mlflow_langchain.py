"""The LangChain program of MLflow's announcement of tracing, with this package's ``autolog`` in place of MLflow's."""

import os

import mlflow
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.prompts import PromptTemplate

import langchain_autotrace

mlflow.set_experiment("LangChain Tracing")
langchain_autotrace.autolog(log_models=True, log_input_examples=True)

if "OPENAI_API_KEY" in os.environ:
    from langchain_openai import OpenAI

    llm = OpenAI(temperature=0.7, max_tokens=1000)
else:
    llm = FakeListLLM(responses=["For the view.", "No."])

prompt = PromptTemplate.from_template("Imagine you are {person}, and you are answering a question: {question}")
chain = prompt | llm

chain.invoke({"person": "Richard Feynman", "question": "Why should we colonize Mars?"})
chain.invoke({"person": "Linus Torvalds", "question": "Can I set everyone's access to sudo?"})
