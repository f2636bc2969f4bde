"""Results for people and programs: terminal, JSON, one HTML page."""
