"""`evaluation.html`: what suites found and how training went, on one page that needs nothing but itself."""
