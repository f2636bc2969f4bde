"""What a model does with a text, to be looked at: attention, routing, and what each layer would predict."""
