"""What becomes of coalitions from one layer to the next: the arithmetic, the report, and the diagram of it."""
