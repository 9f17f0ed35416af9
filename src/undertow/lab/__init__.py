"""The lab: teacher, carrier data, filter, student, evaluation; every control; resumable."""
