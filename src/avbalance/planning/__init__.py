"""Which artifacts does the configuration need, and which of them exist?"""
