"""What becomes of coalitions from one layer to the next: events, their chance level, and diagrams of them."""
