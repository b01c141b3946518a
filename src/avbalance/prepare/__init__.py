"""Steps that turn raw files into packed arrays."""
