"""What makes two sides equal: formulas that reproduce recorded values, and changes after which residuals vanish."""
