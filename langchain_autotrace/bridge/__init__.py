"""One trace with MLflow's own API, around and within LangChain's runs.

That is ``@mlflow.trace``, ``mlflow.start_span``, the client, and what reads or changes the current trace. MLflow finds
the current span through one object, its runtime context. Here it also sees the run that encloses the code
(``nesting``), which is made known to MLflow when somebody asks for it (``traces``). What MLflow's spans hold goes to
the journal in place of MLflow's exporter (``processor``). Where a trace goes and what is said of it follows MLflow's
switches (``home``). All of it is put in place when the program imports MLflow, and only then (``install``).

Who is deeper, where a run and a span of MLflow's both enclose the code: the span is around the run exactly when it was
active as the run, or one of the runs above it, started::

    with mlflow.start_span("s"):            s (MLflow)
        chain.invoke(x)                     └── chain (run)      s was active when chain started:
                                                └── lambda       inside lambda the run is deeper

    chain.invoke(x)                         chain (run)
      # its lambda does:                    └── lambda (run)
      with mlflow.start_span("s"):              └── s (MLflow)   s was not: inside s, s is deeper,
          inner.invoke(x)                           └── inner    and inner belongs below s

The programs ``the_span_is_around_the_run`` and ``the_span_is_within_the_run`` of the tests are these two.
"""
