"""Steps from raw files to arrays."""
