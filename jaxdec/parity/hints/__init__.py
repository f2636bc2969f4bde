"""What would remove a difference: the table of seams, and a small search for each."""
