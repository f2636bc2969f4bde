"""`lm-eval`, Eleuther's evaluation harness, on runs of ours: importing `adapter` registers the model name `jaxdec`."""
