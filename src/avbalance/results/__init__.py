"""Steps that turn runs into tables, figures and the page."""
