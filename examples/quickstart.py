"""One call, and every run of the process is a trace. Runs as it is: the model is LangChain's fake one."""

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

import langchain_autotrace

langchain_autotrace.autolog()

chain = (
    ChatPromptTemplate.from_template("Tell me about {topic}.")
    | FakeListChatModel(responses=["Cats sleep two thirds of their lives."])
    | StrOutputParser()
)
print(chain.invoke({"topic": "cats"}))

assert langchain_autotrace.flush().ok
print("stored as", langchain_autotrace.last_trace_id(), "- see it with: langchain-autotrace show last")
