"""What a Hugging Face folder holds beside weights: where it comes from, its tokenizer, its model card."""
