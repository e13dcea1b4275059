"""What other commands find out about the coalitions of records, as they write it and as the site shows it."""
