"""Runs in memory: what `import jaxdec` offers besides the parts themselves."""
