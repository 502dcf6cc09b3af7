"""What a camera's folder holds and when it was recorded. Pure data: the database is the role's."""
