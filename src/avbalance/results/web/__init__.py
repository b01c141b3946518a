"""What does the page show? Its template, style and scripts, and the Python that gathers their contents."""
