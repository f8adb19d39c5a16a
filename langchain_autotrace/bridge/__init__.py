"""Bridge to MLflow's tracing API: MLflow spans around and within LangChain runs join the same trace.

It covers ``@mlflow.trace``, ``mlflow.start_span``, the client, and the functions that read or change the current trace.
MLflow finds the current span through one object, its runtime context. The bridge makes that object see the enclosing
LangChain run too (``nesting``), which is registered with MLflow when it is first asked for (``known_traces``). MLflow
spans are written to the journal instead of to MLflow's exporter (``processor``). The target of a trace follows MLflow's
own settings (``targets``). The bridge is installed when the program imports MLflow, and not before (``install``).

If a run and an MLflow span both enclose the code, the bridge has to find out which is the inner one. The span encloses
the run exactly when it was active as the run, or one of the runs above it, started::

    with mlflow.start_span("s"):            s (MLflow)
        chain.invoke(x)                     └── chain (run)      s was active when chain started:
                                                └── lambda       inside lambda the run is the inner one

    chain.invoke(x)                         chain (run)
      # its lambda does:                    └── lambda (run)
      with mlflow.start_span("s"):              └── s (MLflow)   s was not active when lambda started:
          inner.invoke(x)                           └── inner    s is the inner one, inner goes below s

``tests/bridge/programs.py`` runs both, as ``the_span_is_around_the_run`` and ``the_span_is_within_the_run``.
"""
