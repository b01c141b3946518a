"""What do the YAML files ask for, and is it right?"""
