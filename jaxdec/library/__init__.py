"""What `import jaxdec` gives a user of the library beside the parts themselves: runs in memory."""
