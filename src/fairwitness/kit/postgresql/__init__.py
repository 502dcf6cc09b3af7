"""PostgreSQL as a role's database, with the same meaning that SQLite has here."""
