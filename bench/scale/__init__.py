"""How the cost of a scan's reading, and of a matrix of students, grows."""
