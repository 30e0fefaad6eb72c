"""What results say: each file has the tables of one kind of result, for people, and its document, for programs."""
